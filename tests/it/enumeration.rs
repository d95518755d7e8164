//! No enumeration: a caller that may not see users cannot tell a known one from an unknown one, by answer or by time.

use std::time::Duration;

use mailfactor::{domain::caller::Role, pb::v1 as pb};
use tonic::{Code, Status};

use super::harness::{
    client::Client, in_time, letter, process::Process, scene::refused, service::Home, smtp::SmtpServer,
};

const PAIRS: usize = 5_000;

/// How often the pairs are measured at the most.
const ROUNDS: usize = 3;

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
        // It follows from the random id alone.
        reference: challenge.reference.len().to_string(),
        created_at: None,
        expires_at: distance(challenge.expires_at),
        resend_at: distance(challenge.resend_at),
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

/// In an order that is shuffled and the same in every run: what a mail under way costs the calls after it, however many
/// they are, falls on known and unknown users alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures time and wants the machine to itself: scripts/test runs it after the others"]
async fn medians_over_5000_interleaved_pairs_differ_by_less_than_five_percent() {
    let home = home();
    let (_process, _smtp, client) = endpoint(&home).await;
    for user in ["ann", "nobody"].repeat(50) {
        client.start(user).await.unwrap();
    }
    // A real difference shows in every round; another process's work does not.
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let ratio = ratio_of_medians(&client).await;
        if (0.95..1.05).contains(&ratio) {
            return;
        }
        ratios.push(ratio);
    }
    panic!("known to unknown, medians over {PAIRS} pairs: {ratios:.3?}");
}

async fn ratio_of_medians(client: &Client) -> f64 {
    let mut known = Vec::with_capacity(PAIRS);
    let mut unknown = Vec::with_capacity(PAIRS);
    for user in shuffled(["ann", "nobody"].repeat(PAIRS)) {
        let began = tokio::time::Instant::now();
        client.start(user).await.unwrap();
        let took = began.elapsed();
        if user == "ann" {
            known.push(took);
        } else {
            unknown.push(took);
        }
    }
    let (known, unknown) = (median(known), median(unknown));
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    println!("known {known:?}, unknown {unknown:?}, ratio {ratio:.3}");
    ratio
}

/// Fisher and Yates, by a generator of Knuth's (MMIX).
fn shuffled(mut users: Vec<&str>) -> Vec<&str> {
    let mut state = 1_u64;
    for last in (1..users.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        users.swap(last, usize::try_from(state >> 33).unwrap() % (last + 1));
    }
    users
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn without_an_account_everybody_is_refused_alike_until_there_is_one() {
    let home = home();
    let smtp = SmtpServer::plain().await;
    let service = home.serve(mailfactor::app::Machine::real()).await;
    let admin = service.client(&home.caller("ops", Role::Admin).await).await;
    let laptop = service
        .client(&home.caller("laptops", Role::Endpoint).await)
        .await;
    let none = |result: Result<pb::Challenge, Status>| {
        assert_eq!(
            refused(result),
            (Code::FailedPrecondition, "NO_ACCOUNT".to_owned())
        );
    };
    for user in ["ann", "nobody", "silent", "twin"] {
        none(laptop.start(user).await);
        none(admin.start(user).await);
    }
    // One that was just added serves at once.
    let account = admin.mail_through(smtp.address).await;
    let open = laptop.start("ann").await.unwrap();
    letter::newest_to(&smtp, "ann@example.com").await;
    // One that is gone serves no more, seconds later; what was started before still verifies.
    let delete = pb::DeleteAccountRequest {
        account: account.account_id,
        ..pb::DeleteAccountRequest::default()
    };
    admin.policy.clone().delete_account(delete).await.unwrap();
    in_time(async {
        let mut users = 0..;
        while let Ok(challenge) = laptop.start(&format!("nobody{}", users.next().unwrap())).await {
            drop(challenge);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    for user in ["ann", "nobody"] {
        none(laptop.start(user).await);
    }
    let resend = pb::ResendCodeRequest {
        challenge_id: open.challenge_id,
        ..pb::ResendCodeRequest::default()
    };
    let resent = laptop.challenges.clone().resend_code(resend).await;
    none(resent.map(|answer| answer.into_inner().challenge.unwrap()));
    service.stop().await;
}
