//! Override addresses: a code to another address than the one on file, once the user has confirmed it.

use std::time::Duration;

use mailfactor::{
    domain::caller::Role,
    pb::v1::{self as pb, Purpose},
};
use prost_types::FieldMask;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::harness::{
    client::Client,
    letter,
    scene::{Scene, refused, start, waiting},
    service::Home,
};

const HOME: &str = "Ann@home.example";

fn to(user: &str, purpose: Purpose, address: &str) -> pb::StartChallengeRequest {
    pb::StartChallengeRequest {
        purpose: purpose.into(),
        override_address: address.to_owned(),
        user: user.to_owned(),
        ..pb::StartChallengeRequest::default()
    }
}

/// Starts and answers when the mail server has spoken.
async fn mailed(client: &Client, request: pb::StartChallengeRequest) -> pb::Challenge {
    let request = pb::StartChallengeRequest {
        wait_for_mail_server: true,
        ..request
    };
    start(client, request).await.unwrap()
}

/// A service whose default policy allows confirmed addresses in these domains.
async fn open(domains: &[&str]) -> Scene {
    let scene = Scene::set().await;
    let policy = pb::OtpPolicy {
        override_address: Some(pb::OverrideAddressPolicy {
            mode: pb::OverrideMode::Confirmed.into(),
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            confirmed_for: None,
        }),
        ..pb::OtpPolicy::default()
    };
    let request = pb::UpdateOtpPolicyRequest {
        policy: Some(policy),
        update_mask: Some(FieldMask {
            paths: vec!["override_address.mode".into(), "override_address.domains".into()],
        }),
    };
    let answer = scene
        .admin
        .policy
        .clone()
        .update_otp_policy(request)
        .await
        .unwrap();
    let policy = answer.into_inner().policy.unwrap();
    let set = policy.override_address.unwrap();
    assert_eq!(
        (set.mode(), set.domains.len()),
        (pb::OverrideMode::Confirmed, domains.len())
    );
    scene
}

/// Confirms an address for a user; how many mails there were before.
async fn confirm(scene: &Scene, user: &str, address: &str, before: usize) {
    let challenge = mailed(&scene.idp, to(user, Purpose::AddressConfirmation, address)).await;
    let mail = &scene.mails(before + 1).await[before];
    assert_eq!(letter::recipient(mail), address);
    let verdict = scene
        .idp
        .verify(&challenge.challenge_id, &letter::otp(mail))
        .await
        .unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
}

fn unconfirmed() -> (Code, String) {
    (Code::FailedPrecondition, "OVERRIDE_UNCONFIRMED".into())
}

/// The field that a refusal names.
fn field(result: Result<pb::Challenge, Status>) -> String {
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let bad = status.get_details_bad_request().unwrap();
    bad.field_violations[0].field.clone()
}

#[tokio::test]
async fn mail_goes_to_the_address_on_file_unless_an_administrator_says_otherwise() {
    let scene = Scene::set().await;
    let laptop = scene.caller("laptop", Role::Endpoint).await;
    for user in ["ann", "nobody"] {
        for purpose in [Purpose::Login, Purpose::AddressConfirmation] {
            let disabled = start(&scene.idp, to(user, purpose, HOME)).await;
            assert_eq!(
                refused(disabled),
                (Code::FailedPrecondition, "OVERRIDE_DISABLED".into())
            );
            let refusal = start(&laptop, to(user, purpose, HOME)).await;
            assert_eq!(
                refused(refusal),
                (Code::PermissionDenied, "OVERRIDE_NOT_ALLOWED".into())
            );
        }
    }
    let malformed = start(&scene.idp, to("ann", Purpose::Login, "no address")).await;
    assert_eq!(field(malformed), "override_address");
    // Nothing was mailed: the first mail is the one to the address on file.
    mailed(&scene.idp, waiting("ann")).await;
    let mails = scene.mails(1).await;
    assert_eq!(
        (mails.len(), letter::recipient(&mails[0])),
        (1, "ann@example.com".into())
    );
    scene.end().await;
}

#[tokio::test]
async fn an_address_is_confirmed_by_a_code_and_then_gets_the_users_codes() {
    let scene = open(&[]).await;
    let login = |user: &str, address: &str| to(user, Purpose::Login, address);
    assert_eq!(
        refused(start(&scene.idp, login("ann", HOME)).await),
        unconfirmed()
    );
    // A wrong code confirms nothing.
    let challenge = mailed(&scene.idp, to("ann", Purpose::AddressConfirmation, HOME)).await;
    assert_eq!(challenge.masked_recipient, "A*****@h*****.example");
    let code = letter::otp(&scene.mails(1).await[0]);
    let id = &challenge.challenge_id;
    scene.idp.verify(id, &letter::another(&code)).await.unwrap();
    assert_eq!(
        refused(start(&scene.idp, login("ann", HOME)).await),
        unconfirmed()
    );
    let verdict = scene.idp.verify(id, &code).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    // The user's logins may go there, and so do their further codes.
    let challenge = mailed(&scene.idp, login("ann", HOME)).await;
    let mails = scene.mails(2).await;
    assert_eq!(letter::recipient(&mails[1]), HOME);
    scene.clock.advance(Duration::from_secs(30));
    scene.idp.resend(&challenge.challenge_id).await.unwrap();
    let mails = scene.mails(3).await;
    assert_eq!(letter::recipient(&mails[2]), HOME);
    let verdict = scene
        .idp
        .verify(&challenge.challenge_id, &letter::otp(&mails[2]))
        .await;
    assert_eq!(verdict.unwrap().result(), pb::VerifyResult::Verified);
    // Of that user, and to that address byte for byte; not for a recovery.
    for (user, address) in [
        ("bo", HOME),
        ("ann", "ann@home.example"),
        ("ann", "ann@example.com"),
    ] {
        assert_eq!(
            refused(start(&scene.idp, login(user, address)).await),
            unconfirmed(),
            "{user} {address}"
        );
    }
    assert_eq!(
        field(start(&scene.idp, to("ann", Purpose::Recovery, HOME)).await),
        "override_address"
    );
    // The mails to one address are counted together, whoever asks.
    let spent = start(&scene.idp, to("bo", Purpose::AddressConfirmation, HOME)).await;
    assert_eq!(
        refused(spent),
        (Code::ResourceExhausted, "SEND_BUDGET_SPENT".into())
    );
    // Kept as a keyed hash alone: the address itself is nowhere in the database.
    for name in ["mailfactor.db", "mailfactor.db-wal"] {
        let kept = std::fs::read(scene.home.path(name)).unwrap_or_default();
        assert!(
            !kept
                .windows(HOME.len())
                .any(|bytes| bytes.eq_ignore_ascii_case(HOME.as_bytes())),
            "{name}"
        );
    }
    // It counts for 90 days.
    scene.clock.advance(Duration::from_secs(90 * 86_400 - 60));
    mailed(&scene.idp, login("ann", HOME)).await;
    scene.clock.advance(Duration::from_secs(60));
    assert_eq!(
        refused(start(&scene.idp, login("ann", HOME)).await),
        unconfirmed()
    );
    scene.end().await;
}

#[tokio::test]
async fn an_ordinary_confirmation_opens_no_other_address() {
    let scene = open(&[]).await;
    let request = pb::StartChallengeRequest {
        purpose: Purpose::AddressConfirmation.into(),
        ..waiting("ann")
    };
    let challenge = start(&scene.idp, request).await.unwrap();
    let code = letter::otp(&scene.mails(1).await[0]);
    let verdict = scene.idp.verify(&challenge.challenge_id, &code).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    let login = start(&scene.idp, to("ann", Purpose::Login, "ann@example.com")).await;
    assert_eq!(refused(login), unconfirmed());
    scene.end().await;
}

#[tokio::test]
async fn domains_are_listed_and_endpoints_stay_out() {
    let scene = open(&["home.example"]).await;
    let elsewhere = to("ann", Purpose::AddressConfirmation, "ann@sub.home.example");
    assert_eq!(field(start(&scene.idp, elsewhere).await), "override_address");
    let laptop = scene.caller("laptop", Role::Endpoint).await;
    let refusal = start(&laptop, to("ann", Purpose::AddressConfirmation, HOME)).await;
    assert_eq!(
        refused(refusal),
        (Code::PermissionDenied, "OVERRIDE_NOT_ALLOWED".into())
    );
    confirm(&scene, "ann", HOME, 0).await;
    // The same request id with another address is another request.
    let with_id = |address: &str| pb::StartChallengeRequest {
        request_id: "r".to_owned(),
        ..to("ann", Purpose::Login, address)
    };
    start(&scene.idp, with_id(HOME)).await.unwrap();
    let reused = start(&scene.idp, with_id("")).await;
    assert_eq!(refused(reused), (Code::AlreadyExists, "REQUEST_ID_REUSED".into()));
    scene.end().await;
}

#[tokio::test]
async fn a_caller_that_does_not_see_users_learns_nothing_from_addresses() {
    let scene = open(&[]).await;
    let key = scene
        .home
        .caller_who("blind", Role::Authenticator, Some(false))
        .await;
    let blind = scene.service.client(&key).await;
    for user in ["ann", "nobody"] {
        let login = start(&blind, to(user, Purpose::Login, HOME)).await;
        assert_eq!(refused(login), unconfirmed(), "{user}");
    }
    let mut answers = Vec::new();
    for (user, address) in [("ann", "one@home.example"), ("nobody", "two@home.example")] {
        for _ in 0..3 {
            let request = to(user, Purpose::AddressConfirmation, address);
            let mut challenge = start(&blind, request).await.unwrap();
            let shown = (
                challenge.masked_recipient.split_off(1),
                challenge.delivery(),
                challenge.code_length,
            );
            answers.push(format!("{shown:?}"));
        }
        let spent = start(&blind, to(user, Purpose::AddressConfirmation, address)).await;
        answers.push(format!("{:?}", refused(spent)));
    }
    let (known, unknown) = answers.split_at(4);
    assert_eq!(known, unknown);
    // To one address for several users: counted together, and in silence, whether they are there or not.
    for (user, address) in [("bo", "one@home.example"), ("nobody2", "two@home.example")] {
        let third = start(&blind, to(user, Purpose::AddressConfirmation, address)).await;
        assert_eq!(
            third.unwrap().masked_recipient.split_off(1),
            "*****@h*****.example"
        );
    }
    // Only the known user's were mailed.
    let mails = scene.mails(3).await;
    assert!(
        mails
            .iter()
            .all(|mail| letter::recipient(mail) == "one@home.example")
    );
    scene.end().await;
}

#[tokio::test]
async fn an_administrator_sees_and_forgets_confirmed_addresses() {
    let scene = open(&[]).await;
    confirm(&scene, "ann", HOME, 0).await;
    confirm(&scene, "ann", "ann@work.example", 1).await;
    let run = |line: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mailfactor"))
            .args(line.split(' '))
            .arg("--config")
            .arg(scene.home.path("mailfactor.toml"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("user show ann --json").contains("\"confirmed_addresses\": 2"));
    assert!(run("user forget-addresses ann").contains('2'));
    let login = start(&scene.idp, to("ann", Purpose::Login, HOME)).await;
    assert_eq!(refused(login), unconfirmed());
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_allows_and_names_other_addresses() {
    let scene = Scene::at({
        let home = Home::new();
        home.users(&[("ann", "ann@example.com")]);
        home
    })
    .await;
    let key = scene.home.path("cli.key");
    std::fs::write(&key, scene.home.caller("cli", Role::Admin).await).unwrap();
    let server = format!("http://{}", scene.service.grpc);
    let run = |line: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mailfactor"))
            .args(line.split(' '))
            .args(["--server", &server, "--api-key-file"])
            .arg(&key)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let confirm =
        "challenge start ann --purpose address_confirmation --override-address ann@home.example --wait";
    let (done, _, told) = run(confirm);
    assert!(!done && told.contains("OVERRIDE_DISABLED"), "{told}");
    let (done, _, told) = run("policy set override_address.mode=always");
    assert!(!done && told.contains("never or confirmed"), "{told}");
    let (done, set, told) = run(
        "policy set override_address.mode=confirmed override_address.domains=home.example \
         override_address.confirmed_for=2h --json",
    );
    assert!(done && set.contains("\"home.example\""), "{told}");
    let (done, shown, told) = run(confirm);
    assert!(done && shown.contains("a*****@h*****.example"), "{told}");
    assert_eq!(letter::recipient(&scene.mails(1).await[0]), "ann@home.example");
    let (done, _, told) = run("policy set override_address.confirmed_for=400d");
    assert!(!done && told.contains("between 1 h and 365 days"), "{told}");
    scene.end().await;
}
