//! Verify: one right code, once; a wrong one costs an attempt, and no more of them are compared than there are.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};
use serde_json::Value;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::harness::{
    ManualClock,
    client::Client,
    letter,
    service::{Home, Service},
    smtp::SmtpServer,
};

/// How many challenges a race is run over, and how many calls race for each.
const CHALLENGES: usize = 1_000;
const CALLS: usize = 64;

fn crowd(count: usize) -> Vec<(String, String)> {
    (0..count)
        .map(|n| (format!("user{n}"), format!("user{n}@example.com")))
        .collect()
}

async fn open(users: &[(String, String)]) -> (Home, Service, SmtpServer, Client) {
    let home = Home::new();
    let users: Vec<(&str, &str)> = users
        .iter()
        .map(|(name, email)| (name.as_str(), email.as_str()))
        .collect();
    home.users(&users);
    let smtp = SmtpServer::plain().await;
    let service = home.serve(Machine::real()).await;
    let admin = service.client(&home.caller("ops", Role::Admin).await).await;
    admin.mail_through(smtp.address).await;
    let client = service
        .client(&home.caller("idp", Role::Authenticator).await)
        .await;
    (home, service, smtp, client)
}

/// Starts a challenge for everybody: the challenges and the codes that were mailed for them.
async fn start_all(client: &Client, smtp: &SmtpServer, users: &[(String, String)]) -> Vec<(String, String)> {
    let started: Vec<(String, String)> = stream::iter(users)
        .map(|(name, email)| async move {
            let challenge = client.start(name).await.unwrap();
            (challenge.challenge_id, email.clone())
        })
        .buffer_unordered(32)
        .collect()
        .await;
    let codes = letter::codes(&smtp.wait_for_mails(users.len()).await);
    started
        .into_iter()
        .map(|(challenge, email)| (challenge, codes[&email].clone()))
        .collect()
}

/// How often each result came of the calls that raced for one challenge.
async fn race(client: &Client, challenge: &str, code: &str) -> HashMap<pb::VerifyResult, usize> {
    let calls = (0..CALLS).map(|_| client.verify(challenge, code));
    let answers = futures_util::future::join_all(calls).await;
    let mut counts = HashMap::new();
    for answer in answers {
        *counts.entry(answer.unwrap().result()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_parallel_right_codes_exactly_one_verifies_over_1000_challenges() {
    let users = crowd(CHALLENGES);
    let (_home, service, smtp, client) = open(&users).await;
    for (challenge, code) in start_all(&client, &smtp, &users).await {
        let counts = race(&client, &challenge, &code).await;
        assert_eq!(counts.get(&pb::VerifyResult::Verified), Some(&1), "{counts:?}");
        assert_eq!(
            counts.get(&pb::VerifyResult::AlreadyUsed),
            Some(&(CALLS - 1)),
            "{counts:?}"
        );
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_parallel_wrong_codes_exactly_five_are_compared_over_1000_challenges() {
    let users = crowd(CHALLENGES);
    let (_home, service, smtp, client) = open(&users).await;
    for (challenge, code) in start_all(&client, &smtp, &users).await {
        let counts = race(&client, &challenge, &letter::another(&code)).await;
        assert_eq!(counts.get(&pb::VerifyResult::WrongCode), Some(&5), "{counts:?}");
        assert_eq!(
            counts.get(&pb::VerifyResult::ChallengeLocked),
            Some(&(CALLS - 5)),
            "{counts:?}"
        );
        // And the right one comes too late.
        let late = client.verify(&challenge, &code).await.unwrap();
        assert_eq!(late.result(), pb::VerifyResult::ChallengeLocked);
    }
    service.stop().await;
}

#[tokio::test]
async fn wrong_codes_over_resends_challenges_and_a_restart_lock_the_user_at_ten() {
    let clock = Arc::new(ManualClock::new());
    let machine = || Machine {
        clock: clock.clone(),
        ..Machine::real()
    };
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    let smtp = SmtpServer::plain().await;
    let service = home.serve(machine()).await;
    let admin = service.client(&home.caller("ops", Role::Admin).await).await;
    admin.mail_through(smtp.address).await;
    let key = home.caller("idp", Role::Authenticator).await;
    let client = service.client(&key).await;

    // Two wrong ones, a resend, two more: the resend gives no attempts back.
    let first = client.start("ann").await.unwrap();
    let wrong = letter::another(&letter::code(&smtp.wait_for_mails(1).await[0].data));
    for left in [4, 3] {
        assert_eq!(
            client
                .verify(&first.challenge_id, &wrong)
                .await
                .unwrap()
                .attempts_left,
            left
        );
    }
    clock.advance(Duration::from_secs(31));
    assert_eq!(client.resend(&first.challenge_id).await.unwrap().attempts_left, 3);
    let mails = smtp.wait_for_mails(2).await;
    let fresh = [letter::code(&mails[0].data), letter::code(&mails[1].data)];
    let wrong = (0..3)
        .map(|n| format!("{n:06}"))
        .find(|code| !fresh.contains(code))
        .unwrap();
    for left in [2, 1] {
        assert_eq!(
            client
                .verify(&first.challenge_id, &wrong)
                .await
                .unwrap()
                .attempts_left,
            left
        );
    }
    // Five more on a new challenge.
    let second = client.start("ann").await.unwrap();
    let right = letter::code(&smtp.wait_for_mails(3).await[2].data);
    for left in (0..5).rev() {
        let answer = client
            .verify(&second.challenge_id, &letter::another(&right))
            .await
            .unwrap();
        assert_eq!(
            (answer.result(), answer.attempts_left),
            (pb::VerifyResult::WrongCode, left)
        );
    }
    // A restart changes nothing: the tenth locks.
    service.stop().await;
    let service = home.serve(machine()).await;
    let client = service.client(&key).await;
    let tenth = client.verify(&first.challenge_id, &wrong).await.unwrap();
    assert_eq!(tenth.result(), pb::VerifyResult::WrongCode);

    clock.advance(Duration::from_mins(10));
    let refused = client.start("ann").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    clock.advance(Duration::from_mins(20));
    let third = client.start("ann").await.unwrap();
    let right = letter::code(&smtp.wait_for_mails(4).await[3].data);
    let verified = client.verify(&third.challenge_id, &right).await.unwrap();
    assert_eq!(verified.result(), pb::VerifyResult::Verified);
    service.stop().await;
}

/// Two events whose limits differ: whoever goes from one to the other gets no more wrong codes in a row than the laxer allows.
#[tokio::test]
async fn going_from_event_to_event_passes_no_lock() {
    let home = Home::new()
        .with("events.lax.guesses.lock_after", 10)
        .with("events.strict.guesses.lock_after", 7)
        .with("policy.sends.user.burst", 1_000)
        .with("policy.sends.user.per_day", 1_000)
        .with("policy.sends.address.per_day", 1_000)
        .with("policy.sends.address.burst", 1_000);
    home.users(&[("ann", "ann@example.com")]);
    let smtp = SmtpServer::plain().await;
    let service = home.serve(Machine::real()).await;
    let admin = service.client(&home.caller("ops", Role::Admin).await).await;
    admin.mail_through(smtp.address).await;
    let client = service
        .client(&home.caller("idp", Role::Authenticator).await)
        .await;
    let begin = async |event: &str| {
        let request = pb::StartChallengeRequest {
            user: "ann".to_owned(),
            event: event.to_owned(),
            ..pb::StartChallengeRequest::default()
        };
        let answer = client.challenges.clone().start_challenge(request).await.unwrap();
        answer.into_inner().challenge.unwrap().challenge_id
    };
    // More challenges than could be needed, begun while nobody is locked.
    let (mut lax, mut strict) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        lax.push(begin("lax").await);
        strict.push(begin("strict").await);
    }
    let mut wrong = 0;
    let verdict = loop {
        // Each lock of one event falls on a guess at the other.
        let challenges = if (wrong + 1) % 7 == 0 { &lax } else { &strict };
        let at = challenges[wrong / 5].as_str();
        let verdict = client.verify(at, "000000").await.unwrap().result();
        if verdict != pb::VerifyResult::WrongCode {
            break verdict;
        }
        wrong += 1;
        assert!(wrong <= 10, "{wrong} wrong codes in a row");
    };
    assert_eq!(verdict, pb::VerifyResult::UserLocked);
    assert_eq!(wrong, 8, "the eighth is the first that the stricter event judges");
    assert_eq!(
        client.start("ann").await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    service.stop().await;
}

#[tokio::test]
async fn a_locked_user_learns_until_when_and_no_code_is_compared() {
    let clock = Arc::new(ManualClock::new());
    let home = Home::new().with("policy.guesses.lock_after", 3);
    home.users(&[("ann", "ann@example.com")]);
    let smtp = SmtpServer::plain().await;
    let service = home
        .serve(Machine {
            clock: clock.clone(),
            ..Machine::real()
        })
        .await;
    let admin = service.client(&home.caller("ops", Role::Admin).await).await;
    admin.mail_through(smtp.address).await;
    let client = service
        .client(&home.caller("idp", Role::Authenticator).await)
        .await;
    let challenge = client.start("ann").await.unwrap().challenge_id;
    let right = letter::code(&smtp.wait_for_mails(1).await[0].data);
    for _ in 0..3 {
        client.verify(&challenge, &letter::another(&right)).await.unwrap();
    }
    let locked = client.verify(&challenge, &right).await.unwrap();
    assert_eq!(locked.result(), pb::VerifyResult::UserLocked);
    assert_eq!(
        locked.attempts_left, 2,
        "a code that is not compared costs no attempt"
    );
    let minutes = (locked.locked_until.unwrap().seconds - 1_767_323_045) / 60;
    assert_eq!(minutes, 30);
    service.stop().await;
}

#[tokio::test]
async fn verdicts_are_distinct_and_malformed_codes_cost_nothing() {
    let clock = Arc::new(ManualClock::new());
    let home = Home::new();
    home.users(&[
        ("ann", "ann@example.com"),
        ("bo", "bo@example.com"),
        ("cy", "cy@example.com"),
    ]);
    let smtp = SmtpServer::plain().await;
    let service = home
        .serve(Machine {
            clock: clock.clone(),
            ..Machine::real()
        })
        .await;
    let admin = service.client(&home.caller("ops", Role::Admin).await).await;
    admin.mail_through(smtp.address).await;
    let client = service
        .client(&home.caller("idp", Role::Authenticator).await)
        .await;

    let ann = client.start("ann").await.unwrap().challenge_id;
    let right = letter::code(&smtp.wait_for_mails(1).await[0].data);
    let two = format!("{right} or {}", letter::another(&right));
    let short = format!("Code: {}", &right[1..]);
    let (long, hostile) = ("1".repeat(60_000), "\u{fdfa}".repeat(20_000));
    for malformed in [
        "",
        "12345",
        "1234567",
        "abcdef",
        "123456 is it",
        &two,
        &short,
        &long,
        &hostile,
    ] {
        let refused = client.verify(&ann, malformed).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{malformed:?} {refused:?}");
        let details = refused.get_error_details();
        let fault = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(fault.field, "code");
        assert!(
            malformed.is_empty() || fault.description.contains("paste"),
            "{}",
            fault.description
        );
    }
    // As people type it.
    let typed = format!(" {}-{} ", &right[..3], &right[3..]);
    let verified = client.verify(&ann, &typed).await.unwrap();
    assert_eq!(
        (verified.result(), verified.attempts_left),
        (pb::VerifyResult::Verified, 5)
    );
    let again = client.verify(&ann, &right).await.unwrap();
    assert_eq!(
        (again.result(), again.verified_at),
        (pb::VerifyResult::AlreadyUsed, verified.verified_at)
    );

    let bo = client.start("bo").await.unwrap().challenge_id;
    let request = pb::CancelChallengeRequest {
        challenge_id: bo.clone(),
    };
    client.challenges.clone().cancel_challenge(request).await.unwrap();
    assert_eq!(
        client.verify(&bo, "000000").await.unwrap().result(),
        pb::VerifyResult::Cancelled
    );

    let cy = client.start("cy").await.unwrap().challenge_id;
    let code = letter::newest_to(&smtp, "cy@example.com").await;
    clock.advance(Duration::from_mins(5));
    assert_eq!(
        client.verify(&cy, &code).await.unwrap().result(),
        pb::VerifyResult::Expired
    );

    for unknown in ["AAAAAAAAAAAAAAAAAAAAAA", "nonsense"] {
        let code = client.verify(unknown, "000000").await.unwrap_err().code();
        assert!(matches!(code, Code::NotFound | Code::InvalidArgument), "{code:?}");
    }
    service.stop().await;
}

/// However people paste a code out of a mail, in whatever script they type it: it is the code, and no attempt is lost.
#[tokio::test]
async fn codes_verify_as_people_paste_them() {
    let pastes: [fn(&str) -> String; 9] = [
        |code| format!("\u{201e}{code}\u{201c}"),
        |code| format!("Your code is: {} {}.", &code[..3], &code[3..]),
        |code| format!("验证码：【{code}】。"),
        |code| {
            code.chars()
                .map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap())
                .collect()
        },
        |code| {
            code.chars()
                .map(|c| char::from_u32(u32::from(c) + 0x630).unwrap())
                .collect()
        },
        |code| format!("\u{feff}{}\u{200b}{}\u{2060}", &code[..3], &code[3..]),
        |code| format!("({}_{})", &code[..2], &code[2..]),
        |code| format!("{} \u{2013} {}\r\n", &code[..3], &code[3..]),
        |code| code.replace('0', "O").replace('1', "l"),
    ];
    let users: Vec<(String, String)> = crowd(pastes.len());
    let (_home, service, smtp, client) = open(&users).await;
    let started = start_all(&client, &smtp, &users).await;
    for ((challenge, code), paste) in started.into_iter().zip(pastes) {
        let pasted = paste(&code);
        let verified = client.verify(&challenge, &pasted).await;
        let verified = verified.unwrap_or_else(|error| panic!("{pasted:?}: {error:?}"));
        assert_eq!(
            (verified.result(), verified.attempts_left),
            (pb::VerifyResult::Verified, 5),
            "{pasted:?}"
        );
    }
    service.stop().await;
}

/// One line tells the whole call: nobody has to put it together from several.
#[tokio::test]
async fn the_line_of_a_call_tells_what_was_found() {
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    let smtp = SmtpServer::plain().await;
    let process = home.spawn().await;
    let admin = process.client(&home.caller("ops", Role::Admin).await).await;
    admin.mail_through(smtp.address).await;
    let client = process
        .client(&home.caller("idp", Role::Authenticator).await)
        .await;
    let ann = client.start("ann").await.unwrap().challenge_id;
    client.verify(&ann, "000000").await.unwrap();
    client.verify(&ann, "0").await.unwrap_err();
    let lines = || -> Vec<Value> {
        let log = process.log();
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
        let calls = lines.filter(|line: &Value| {
            line["message"] == "call"
                && line["span"]["grpc.method"]
                    .as_str()
                    .unwrap()
                    .ends_with("/VerifyCode")
        });
        calls.collect()
    };
    // They are written together, a few milliseconds late.
    let both = async {
        while lines().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
    let [judged, refused] = &lines()[..] else {
        panic!("two calls")
    };
    for (line, code, verdict) in [(judged, "OK", Some("wrong")), (refused, "INVALID_ARGUMENT", None)] {
        assert_eq!(line["level"], "INFO", "{line}");
        assert_eq!(line["grpc.code"], code, "{line}");
        assert_eq!(line["challenge.verdict"].as_str(), verdict, "{line}");
        assert_eq!(line["span"]["challenge.id"], ann.as_str(), "{line}");
        assert_eq!(line["span"]["caller.name"], "idp", "{line}");
        assert!(line["seconds"].as_f64().unwrap() > 0.0, "{line}");
    }
}
