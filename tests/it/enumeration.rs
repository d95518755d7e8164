//! No enumeration: a caller that may not see users cannot tell a known one from an unknown one, by answer or by time.

use std::time::Duration;

use mailfactor::{domain::caller::Role, pb::v1 as pb};
use tonic::{Code, Status};

use super::harness::{client::Client, process::Process, service::Home, smtp::SmtpServer};

const PAIRS: usize = 5_000;

fn home() -> Home {
    let mut home = Home::new().with("enumeration.decoy_domains", vec!["example.com"]);
    for budget in ["user", "address"] {
        home.set(&format!("policy.sends.{budget}.burst"), 1_000_000);
        home.set(&format!("policy.sends.{budget}.per_day"), 1_000_000);
    }
    home.users(&[("ann", "ann@example.com"), ("bo", "bo@example.com")]);
    home.users_text(
        "[[user]]\nname = 'ann'\nemail = 'ann@example.com'\n\
         [[user]]\nname = 'silent'\n\
         [[user]]\nname = 'twin'\nemail = 'one@example.com'\n\
         [[user]]\nname = 'twin'\nemail = 'two@example.com'\n",
    );
    home
}

async fn endpoint(home: &Home) -> (Process, SmtpServer, Client) {
    let smtp = SmtpServer::plain().await;
    let process = home.spawn().await;
    let admin = process.client(&home.caller("ops", Role::Admin).await).await;
    admin.mail_through(smtp.address).await;
    let client = process
        .client(&home.caller("laptops", Role::Endpoint).await)
        .await;
    (process, smtp, client)
}

/// A challenge without what differs between any two: its name and its moments, of which only the distances stay.
fn shape(challenge: &pb::Challenge) -> pb::Challenge {
    let began = challenge.created_at.unwrap();
    let distance = |moment: Option<prost_types::Timestamp>| {
        moment.map(|moment| prost_types::Timestamp {
            seconds: moment.seconds - began.seconds,
            nanos: 0,
        })
    };
    pb::Challenge {
        challenge_id: challenge.challenge_id.len().to_string(),
        created_at: None,
        expires_at: distance(challenge.expires_at),
        resend_at: distance(challenge.resend_at),
        masked_recipient: challenge.masked_recipient.chars().skip(1).collect(),
        ..challenge.clone()
    }
}

/// A refusal without its id-dependent or time-dependent details: code, text and how many bytes of details.
fn refusal(result: Result<impl std::fmt::Debug, Status>) -> (Code, String) {
    let status = result.unwrap_err();
    (status.code(), status.message().to_owned())
}

/// Everything a caller can do with a challenge for this user, as it sees it.
async fn experience(client: &Client, user: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let started = client.start(user).await.unwrap();
    let id = started.challenge_id.clone();
    seen.push(format!("{:?}", shape(&started)));
    seen.push(format!("{:?}", shape(&client.get(&id).await.unwrap())));
    seen.push(format!("{:?}", refusal(client.verify(&id, "12").await)));
    for _ in 0..2 {
        // One guess in a million is right; it would not be for a decoy, so it is not made with the right code's length.
        seen.push(format!("{:?}", client.verify(&id, "000000").await.unwrap()));
    }
    seen.push(format!("{:?}", refusal(client.resend(&id).await)));
    let mut watched = client
        .challenges
        .clone()
        .watch_challenge(pb::WatchChallengeRequest {
            challenge_id: id.clone(),
        })
        .await
        .unwrap()
        .into_inner();
    let first = watched.message().await.unwrap().unwrap().challenge.unwrap();
    seen.push(format!("{:?}", shape(&first)));
    let cancel = pb::CancelChallengeRequest {
        challenge_id: id.clone(),
    };
    let cancelled = client.challenges.clone().cancel_challenge(cancel).await.unwrap();
    seen.push(format!("{:?}", shape(&cancelled.into_inner().challenge.unwrap())));
    let last = watched.message().await.unwrap().unwrap().challenge.unwrap();
    seen.push(format!(
        "{:?} {:?}",
        shape(&last),
        watched.message().await.unwrap()
    ));
    seen.push(format!("{:?}", client.verify(&id, "000000").await.unwrap()));
    let wait = pb::StartChallengeRequest {
        user: user.to_owned(),
        wait_for_mail_server: true,
        ..pb::StartChallengeRequest::default()
    };
    seen.push(format!(
        "{:?}",
        refusal(client.challenges.clone().start_challenge(wait).await)
    ));
    seen
}

#[tokio::test]
async fn an_endpoint_sees_the_same_for_known_unknown_mute_and_ambiguous_users() {
    let home = home();
    let (_process, smtp, client) = endpoint(&home).await;
    let known = experience(&client, "ann").await;
    for other in ["nobody", "silent", "twin"] {
        assert_eq!(experience(&client, other).await, known, "{other}");
    }
    assert!(
        smtp.wait_for_mails(1)
            .await
            .iter()
            .all(|mail| mail.recipient.contains("ann@example.com"))
    );
    // The same name gives the same mask each time, as a known user's does.
    let masks = [
        client.start("nobody").await.unwrap(),
        client.start("Nobody").await.unwrap(),
    ];
    assert_eq!(masks[0].masked_recipient, masks[1].masked_recipient);
}

#[tokio::test]
async fn a_caller_that_sees_users_is_told_what_is_wrong() {
    let home = home();
    let (process, _smtp, _endpoint) = endpoint(&home).await;
    let client = process
        .client(&home.caller("idp", Role::Authenticator).await)
        .await;
    let cases = [
        ("nobody", Code::NotFound),
        ("silent", Code::FailedPrecondition),
        ("twin", Code::FailedPrecondition),
    ];
    let mut texts = Vec::new();
    for (user, code) in cases {
        let (told, text) = refusal(client.start(user).await);
        assert_eq!(told, code, "{user}");
        texts.push(text);
    }
    texts.dedup();
    assert_eq!(texts.len(), 3, "each says what it is: {texts:?}");
}

/// Pairs in the order known, unknown, unknown, known: either follows the other as often as itself, so that what a mail
/// under way costs the next call falls on both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures time and wants the machine to itself: scripts/test runs it after the others"]
async fn medians_over_5000_interleaved_pairs_differ_by_less_than_five_percent() {
    let home = home();
    let (_process, _smtp, client) = endpoint(&home).await;
    for user in ["ann", "nobody"].repeat(50) {
        client.start(user).await.unwrap();
    }
    let mut known = Vec::with_capacity(PAIRS);
    let mut unknown = Vec::with_capacity(PAIRS);
    for pair in 0..PAIRS {
        let order = if pair % 2 == 0 {
            ["ann", "nobody"]
        } else {
            ["nobody", "ann"]
        };
        for user in order {
            let began = tokio::time::Instant::now();
            client.start(user).await.unwrap();
            let took = began.elapsed();
            if user == "ann" {
                known.push(took);
            } else {
                unknown.push(took);
            }
        }
    }
    let (known, unknown) = (median(known), median(unknown));
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    println!("known {known:?}, unknown {unknown:?}, ratio {ratio:.3}");
    assert!(
        (0.95..1.05).contains(&ratio),
        "known {known:?}, unknown {unknown:?}"
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
