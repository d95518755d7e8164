//! The one-time-password policy, set at run time over gRPC: every field, its bounds, events, and the master switch.

use std::{process::Command, time::Duration};

use mailfactor::{
    app::Machine,
    domain::{caller::Role, clock::Timestamp, policy_draft::PolicyDraft},
    pb::v1 as pb,
    store::{
        Policies as _,
        sql::{SqlSettings, SqlStore},
    },
};
use prost_types::FieldMask;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::harness::{
    client::Client,
    in_time, letter, note,
    service::{Home, Service, metrics_page},
    smtp::{Act, At, SmtpServer},
};

/// A service with two repositories, a mail account, an administrator, an authentication server and an endpoint.
struct Stage {
    home: Home,
    service: Service,
    smtp: SmtpServer,
    admin: Client,
    idp: Client,
    laptop: Client,
}

impl Stage {
    async fn new(home: Home) -> Self {
        home.users(&[
            ("ann", "ann@example.com"),
            ("bo", "bo@example.com"),
            ("cy", "cy@example.com"),
        ]);
        let smtp = SmtpServer::plain().await;
        let service = home.serve(Machine::real()).await;
        let admin = service.client(&home.caller("ops", Role::Admin).await).await;
        admin.mail_through(smtp.address).await;
        let idp = service
            .client(&home.caller("idp", Role::Authenticator).await)
            .await;
        let laptop = service.client(&home.caller("laptop", Role::Endpoint).await).await;
        Self {
            home,
            service,
            smtp,
            admin,
            idp,
            laptop,
        }
    }

    async fn set(
        &self,
        event: &str,
        paths: &[&str],
        change: impl FnOnce(&mut pb::OtpPolicy),
    ) -> Result<pb::OtpPolicy, Status> {
        let mut policy = pb::OtpPolicy {
            event: event.to_owned(),
            ..pb::OtpPolicy::default()
        };
        change(&mut policy);
        let request = pb::UpdateOtpPolicyRequest {
            policy: Some(policy),
            update_mask: Some(FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            }),
        };
        let answer = self.admin.policy.clone().update_otp_policy(request).await?;
        Ok(answer.into_inner().policy.unwrap())
    }

    async fn get(&self, event: &str) -> Result<pb::OtpPolicy, Status> {
        let request = pb::GetOtpPolicyRequest {
            event: event.to_owned(),
        };
        let answer = self.admin.policy.clone().get_otp_policy(request).await?;
        Ok(answer.into_inner().policy.unwrap())
    }

    async fn create_event(&self, event: &str) -> Result<pb::Event, Status> {
        let request = pb::CreateEventRequest {
            event: event.to_owned(),
        };
        let answer = self.admin.policy.clone().create_event(request).await?;
        Ok(answer.into_inner().event.unwrap())
    }

    async fn switch(&self, enabled: bool) {
        let request = pb::SetSendingRequest {
            enabled: Some(enabled),
        };
        let answer = self.admin.policy.clone().set_sending(request).await.unwrap();
        let sending = answer.into_inner().sending.unwrap();
        assert_eq!((sending.enabled, sending.changed_by.as_str()), (enabled, "ops"));
    }
}

async fn start(
    client: &Client,
    user: &str,
    event: &str,
    change: impl FnOnce(&mut pb::StartChallengeRequest),
) -> Result<pb::Challenge, Status> {
    let mut request = pb::StartChallengeRequest {
        user: user.to_owned(),
        event: event.to_owned(),
        ..pb::StartChallengeRequest::default()
    };
    change(&mut request);
    let answer = client.challenges.clone().start_challenge(request).await?;
    Ok(answer.into_inner().challenge.unwrap())
}

fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.unwrap_err();
    let info = status.get_details_error_info().unwrap();
    (status.code(), info.reason)
}

/// The fields that a refusal names, with what it says of each.
fn faults<T: std::fmt::Debug>(result: Result<T, Status>) -> Vec<(String, String)> {
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let bad = status.get_details_bad_request().unwrap();
    let faults = bad.field_violations.into_iter();
    faults.map(|fault| (fault.field, fault.description)).collect()
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn between(from: Option<prost_types::Timestamp>, to: Option<prost_types::Timestamp>) -> i64 {
    to.unwrap().seconds - from.unwrap().seconds
}

fn limits(burst: i32, per_day: i32) -> pb::SendLimits {
    pb::SendLimits {
        burst,
        refill: seconds(600),
        per_day,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_codes_look_and_live_follows_the_policy_at_once() {
    let stage = Stage::new(Home::new()).await;
    let paths = [
        "code",
        "recovery",
        "lifetime",
        "attempts",
        "resend.after",
        "resend.codes",
        "resend.codes_before",
        "mask",
    ];
    let set = stage
        .set("", &paths, |policy| {
            policy.code = Some(pb::CodePolicy {
                length: 8,
                alphabet: "letters".into(),
            });
            policy.recovery = Some(pb::RecoveryPolicy {
                length: 20,
                alphabet: "0123456789abcdef".into(),
            });
            policy.lifetime = Some(pb::LifetimePolicy {
                login: seconds(120),
                address_confirmation: seconds(240),
                recovery: seconds(480),
            });
            policy.attempts = 2;
            policy.resend = Some(pb::ResendPolicy {
                after: seconds(7),
                codes: 1,
                codes_before: 0,
            });
            policy.mask = "{local:2}xxx@{domain:1}xxx.{tld}".into();
        })
        .await
        .unwrap();
    assert_eq!(set.overridden.len(), 12);
    assert_eq!(set, stage.get("").await.unwrap());
    let lifetimes = [
        (pb::Purpose::Login, 120, (8, "BCDFGHJKLMNPQRSTVWXZ")),
        (pb::Purpose::AddressConfirmation, 240, (8, "BCDFGHJKLMNPQRSTVWXZ")),
        (pb::Purpose::Recovery, 480, (20, "0123456789abcdef")),
    ];
    for (user, (purpose, lifetime, look)) in ["ann", "bo", "cy"].into_iter().zip(lifetimes) {
        let challenge = start(&stage.idp, user, "", |request| request.set_purpose(purpose))
            .await
            .unwrap();
        assert_eq!((challenge.code_length, challenge.code_alphabet.as_str()), look);
        assert_eq!(challenge.attempts_left, 2);
        assert_eq!(between(challenge.created_at, challenge.expires_at), lifetime);
        // One code in all: there is no further one.
        assert_eq!(challenge.resend_at, None);
        assert_eq!(challenge.masked_recipient, format!("{}xxx@exxx.com", &user[..2]));
    }
    // The cooldown shows once there is a further code.
    stage
        .set("", &["resend.codes"], |policy| {
            policy.resend = Some(pb::ResendPolicy {
                codes: 2,
                ..pb::ResendPolicy::default()
            });
        })
        .await
        .unwrap();
    let challenge = start(&stage.idp, "ann", "", |_| {}).await.unwrap();
    assert_eq!(between(challenge.created_at, challenge.resend_at), 7);
    // A restart changes nothing; a reset takes all of it back.
    let Stage {
        home, service, smtp, ..
    } = stage;
    service.stop().await;
    let service = home.serve(Machine::real()).await;
    let admin = service.client(&home.caller("ops2", Role::Admin).await).await;
    let mut policies = admin.policy.clone();
    let kept = policies.get_otp_policy(pb::GetOtpPolicyRequest::default()).await;
    assert_eq!(kept.unwrap().into_inner().policy.unwrap().attempts, 2);
    let all = pb::ResetOtpPolicyRequest {
        reset_mask: Some(FieldMask {
            paths: vec!["*".into()],
        }),
        ..pb::ResetOtpPolicyRequest::default()
    };
    let reset = policies.reset_otp_policy(all).await;
    let reset = reset.unwrap().into_inner().policy.unwrap();
    assert_eq!((reset.attempts, reset.overridden.len()), (5, 0));
    drop(smtp);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_follow_the_policy_of_the_event() {
    let stage = Stage::new(Home::new()).await;
    for event in ["user", "address", "caller", "daily", "guesses"] {
        stage.create_event(event).await.unwrap();
    }
    let one = Some(limits(1, 20));
    let sends = [
        (
            "user",
            "ann",
            pb::SendsPolicy {
                user: one,
                ..Default::default()
            },
        ),
        (
            "address",
            "bo",
            pb::SendsPolicy {
                address: one,
                ..Default::default()
            },
        ),
        (
            "caller",
            "cy",
            pb::SendsPolicy {
                caller: one,
                ..Default::default()
            },
        ),
    ];
    for (event, user, sends) in sends {
        let path = format!("sends.{event}");
        stage
            .set(event, &[&path], |policy| policy.sends = Some(sends))
            .await
            .unwrap();
        // What a caller may send is an endpoint's; an authentication server has twenty times as much.
        let client = if event == "caller" {
            &stage.laptop
        } else {
            &stage.idp
        };
        start(client, user, event, |_| {}).await.unwrap();
        let refused = start(client, user, event, |_| {}).await;
        assert_eq!(
            reason(refused),
            (Code::ResourceExhausted, "SEND_BUDGET_SPENT".into()),
            "{event}"
        );
    }
    stage
        .set("guesses", &["guesses"], |policy| {
            policy.guesses = Some(pb::GuessPolicy {
                lock_after: 1,
                lock_for: seconds(3_600),
                lock_for_good_after: 100,
            });
        })
        .await
        .unwrap();
    let challenge = start(&stage.idp, "ann", "guesses", |_| {}).await.unwrap();
    let code = letter::newest_to(&stage.smtp, "ann@example.com").await;
    let id = &challenge.challenge_id;
    let wrong = stage.idp.verify(id, &letter::another(&code)).await.unwrap();
    assert_eq!(wrong.result(), pb::VerifyResult::WrongCode);
    let locked = stage.idp.verify(id, &code).await.unwrap();
    assert_eq!(locked.result(), pb::VerifyResult::UserLocked);
    assert!(between(challenge.created_at, locked.locked_until) >= 3_599);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_has_its_account_its_repositories_and_its_word_on_users() {
    let mut home = Home::new();
    let other = home.path("board.toml");
    std::fs::write(&other, "[[user]]\nname = 'dee'\nemail = 'dee@example.net'\n").unwrap();
    let repository = |name: &str, path: std::path::PathBuf| {
        toml::Value::Table(toml::Table::from_iter([
            ("name".to_owned(), name.into()),
            ("kind".to_owned(), "file".into()),
            ("path".to_owned(), path.display().to_string().into()),
        ]))
    };
    let repositories = vec![
        repository("staff", home.path("users.toml")),
        repository("board", other),
    ];
    home.set("repository", repositories);
    let stage = Stage::new(home).await;
    let second = SmtpServer::plain().await;
    let account = stage.admin.mail_through(second.address).await;
    stage.create_event("meeting").await.unwrap();
    stage
        .set("meeting", &["repositories", "account"], |policy| {
            policy.repositories = vec!["board".into()];
            policy.account.clone_from(&account.name);
        })
        .await
        .unwrap();
    // Only the board is searched, and its mail goes through the account that was named.
    let refused = start(&stage.idp, "ann", "meeting", |_| {}).await;
    assert_eq!(reason(refused), (Code::NotFound, "USER_UNKNOWN".into()));
    let refused = start(&stage.idp, "dee", "meeting", |request| {
        request.repository = "staff".into();
    })
    .await;
    assert_eq!(faults(refused)[0].0, "repository");
    start(&stage.idp, "dee", "meeting", |request| {
        request.repository = "board".into();
    })
    .await
    .unwrap();
    assert_eq!(second.wait_for_mails(1).await.len(), 1);
    start(&stage.idp, "ann", "", |_| {}).await.unwrap();
    assert_eq!(stage.smtp.wait_for_mails(1).await.len(), 1);
    assert_eq!(second.mails().len(), 1);
    // Names that are not there are refused, each by its path.
    let refused = stage
        .set("meeting", &["repositories", "account"], |policy| {
            policy.repositories = vec!["board".into(), "attic".into()];
            policy.account = "nowhere".into();
        })
        .await;
    let fields: Vec<String> = faults(refused).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["policy.repositories[1]", "policy.account"]);
    // An account that was disabled meanwhile is passed over for the default one.
    let update = pb::UpdateAccountRequest {
        account: Some(pb::Account {
            account_id: account.account_id,
            enabled: false,
            ..pb::Account::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["enabled".into()],
        }),
    };
    stage.admin.policy.clone().update_account(update).await.unwrap();
    start(&stage.idp, "dee", "meeting", |_| {}).await.unwrap();
    assert_eq!(stage.smtp.wait_for_mails(2).await.len(), 2);
    // Endpoints learn nothing of users, unless the event says so.
    start(&stage.laptop, "nobody", "meeting", |_| {}).await.unwrap();
    stage
        .set("meeting", &["see_users"], |policy| policy.see_users = true)
        .await
        .unwrap();
    let refused = start(&stage.laptop, "nobody", "meeting", |_| {}).await;
    assert_eq!(reason(refused), (Code::NotFound, "USER_UNKNOWN".into()));
    start(&stage.laptop, "nobody", "", |_| {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_out_of_bounds_is_refused_with_its_path_and_the_source() {
    let stage = Stage::new(Home::new()).await;
    let all = PolicyDraft::PATHS;
    let refused = stage
        .set("", all, |policy| {
            *policy = pb::OtpPolicy {
                attempts: 11,
                code: Some(pb::CodePolicy {
                    length: 5,
                    alphabet: "digits".into(),
                }),
                recovery: Some(pb::RecoveryPolicy {
                    length: 11,
                    alphabet: "mixed".into(),
                }),
                lifetime: Some(pb::LifetimePolicy {
                    login: seconds(601),
                    address_confirmation: seconds(86_401),
                    recovery: seconds(29),
                }),
                mask: "{local:9}***".into(),
                ..pb::OtpPolicy::default()
            };
        })
        .await;
    let faults_found = faults(refused);
    let said = |field: &str| {
        let found = faults_found.iter().find(|(known, _)| known == field);
        found
            .unwrap_or_else(|| panic!("{field}: {faults_found:#?}"))
            .1
            .clone()
    };
    assert!(said("policy.lifetime.login").contains("NIST SP 800-63B-4, 3.1.3.2"));
    assert!(said("policy.lifetime.address_confirmation").contains("4.2.1.2"));
    assert!(said("policy.lifetime.recovery").contains("30 s"));
    assert!(said("policy.code.length").contains("RFC 4226"));
    assert!(said("policy.recovery.length").contains("64 bits (NIST SP 800-63B-4, 4.2.1.1)"));
    assert!(said("policy.attempts").contains("between 1 and 10"));
    assert!(said("policy.mask").contains("at most 3"));
    assert!(said("policy.override_address.mode").contains("`never` or `confirmed`"));
    assert!(said("policy.override_address.confirmed_for").contains("365 days"));
    for field in [
        "policy.resend.after",
        "policy.resend.codes",
        "policy.guesses.lock_after",
        "policy.guesses.lock_for",
        "policy.guesses.lock_for_good_after",
        "policy.sends.user.burst",
        "policy.sends.user.per_day",
        "policy.sends.address.burst",
        "policy.sends.address.per_day",
    ] {
        said(field);
    }
    // Nothing of it was taken over.
    assert!(stage.get("").await.unwrap().overridden.is_empty());
    let refused = stage.set("", &["colour"], |_| {}).await;
    assert_eq!(faults(refused)[0].0, "update_mask.paths[0]");
    let refused = stage
        .set("", &["resend.after"], |policy| {
            policy.resend = Some(pb::ResendPolicy {
                after: seconds(-1),
                ..pb::ResendPolicy::default()
            });
        })
        .await;
    assert_eq!(faults(refused)[0].0, "policy.resend.after");
    // A default that an event could not live with is refused too.
    stage.create_event("binary").await.unwrap();
    stage
        .set("", &["code"], |policy| {
            policy.code = Some(pb::CodePolicy {
                length: 8,
                alphabet: "digits".into(),
            });
        })
        .await
        .unwrap();
    stage
        .set("binary", &["code.alphabet"], |policy| {
            policy.code = Some(pb::CodePolicy {
                alphabet: "ABCDEF".into(),
                length: 0,
            });
        })
        .await
        .unwrap();
    let refused = stage
        .set("", &["code.length"], |policy| {
            policy.code = Some(pb::CodePolicy {
                length: 6,
                alphabet: String::new(),
            });
        })
        .await;
    assert!(faults(refused)[0].1.contains("events.binary.code"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_made_listed_and_removed_and_a_stale_write_is_refused() {
    let stage = Stage::new(Home::new().with("events.vpn.attempts", 3)).await;
    let event = stage.create_event("payroll").await.unwrap();
    assert!(!event.configured);
    assert_eq!(
        reason(stage.create_event("payroll").await),
        (Code::AlreadyExists, "EVENT_EXISTS".into())
    );
    assert_eq!(
        reason(stage.create_event("vpn").await),
        (Code::AlreadyExists, "EVENT_EXISTS".into())
    );
    assert_eq!(faults(stage.create_event("a b").await)[0].0, "event");
    assert_eq!(
        reason(stage.get("nothing").await),
        (Code::NotFound, "EVENT_UNKNOWN".into())
    );
    // An event takes from the default what it does not set itself.
    let before = stage.get("vpn").await.unwrap();
    stage
        .set("", &["attempts", "resend.codes"], |policy| {
            policy.attempts = 7;
            policy.resend = Some(pb::ResendPolicy {
                codes: 9,
                ..pb::ResendPolicy::default()
            });
        })
        .await
        .unwrap();
    let vpn = stage.get("vpn").await.unwrap();
    assert_eq!((vpn.attempts, vpn.resend.unwrap().codes), (3, 9));
    // Two administrators began with the same version: the later one is refused.
    stage
        .set("vpn", &["attempts"], |policy| {
            policy.attempts = 4;
            policy.etag.clone_from(&before.etag);
        })
        .await
        .unwrap();
    let stale = stage
        .set("vpn", &["attempts"], |policy| {
            policy.attempts = 5;
            policy.etag.clone_from(&before.etag);
        })
        .await;
    assert_eq!(reason(stale), (Code::Aborted, "ETAG_STALE".into()));
    assert_eq!(stage.get("vpn").await.unwrap().attempts, 4);
    let mut policies = stage.admin.policy.clone();
    let listed = policies.list_events(pb::ListEventsRequest {}).await.unwrap();
    let listed: Vec<_> = listed
        .into_inner()
        .events
        .into_iter()
        .map(|event| (event.name, event.configured))
        .collect();
    assert_eq!(listed, [("payroll".to_owned(), false), ("vpn".to_owned(), true)]);
    let delete = |event: &str, etag: &str| pb::DeleteEventRequest {
        event: event.to_owned(),
        etag: etag.to_owned(),
    };
    let refused = policies.delete_event(delete("vpn", "")).await;
    assert_eq!(
        reason(refused),
        (Code::FailedPrecondition, "EVENT_CONFIGURED".into())
    );
    let refused = policies.delete_event(delete("payroll", "v1")).await;
    assert_eq!(reason(refused), (Code::Aborted, "ETAG_STALE".into()));
    let etag = event.policy.unwrap().etag;
    policies.delete_event(delete("payroll", &etag)).await.unwrap();
    let refused = policies.delete_event(delete("payroll", "")).await;
    assert_eq!(reason(refused), (Code::NotFound, "EVENT_UNKNOWN".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_sets_is_in_force_within_seconds() {
    let stage = Stage::new(Home::new()).await;
    let url = format!("sqlite:{}", stage.home.path("mailfactor.db").display());
    let clock = Machine::real().clock;
    let store = SqlStore::connect(&SqlSettings::new(url), clock).await.unwrap();
    let draft = PolicyDraft {
        attempts: Some(1),
        ..PolicyDraft::default()
    };
    let now = Timestamp::from_micros(1);
    store.put("", &draft, 0, now, &note()).await.unwrap().unwrap();
    in_time(async {
        // Each start is of a user that does not exist, for a caller that is not told: no budget of ann's is spent.
        let mut users = 0..;
        loop {
            let user = format!("nobody{}", users.next().unwrap());
            let challenge = start(&stage.laptop, &user, "", |_| {}).await.unwrap();
            if challenge.attempts_left == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_switch_stops_everything_for_everybody_alike() {
    let stage = Stage::new(Home::new()).await;
    stage.smtp.on(At::Rcpt, Act::Reply("451 4.3.0 later"));
    let owed = start(&stage.idp, "ann", "", |_| {}).await.unwrap();
    stage
        .idp
        .wait_until(&owed.challenge_id, pb::DeliveryState::Deferred)
        .await;
    stage.switch(false).await;
    stage.smtp.behave();
    let disabled = (Code::FailedPrecondition, "SENDING_DISABLED".to_owned());
    for client in [&stage.idp, &stage.laptop, &stage.admin] {
        for user in ["ann", "nobody"] {
            assert_eq!(reason(start(client, user, "", |_| {}).await), disabled);
        }
    }
    assert_eq!(reason(stage.idp.resend(&owed.challenge_id).await), disabled);
    let test = pb::SendTestMessageRequest {
        recipient: "me@example.com".into(),
        ..pb::SendTestMessageRequest::default()
    };
    assert_eq!(
        reason(stage.admin.policy.clone().send_test_message(test).await),
        disabled
    );
    // Services of other tests in this process share the gauge: it is read right after it was set.
    in_time(async {
        loop {
            let request = pb::GetSendingRequest {};
            let answer = stage.admin.policy.clone().get_sending(request).await.unwrap();
            assert!(!answer.into_inner().sending.unwrap().enabled);
            let page = metrics_page(stage.service.metrics).await;
            if page.contains("mailfactor_sending_enabled 0") {
                break;
            }
        }
    })
    .await;
    // Longer than the first two retries take: the mail that is owed waits.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(stage.smtp.mails().is_empty());
    stage.switch(true).await;
    let code = letter::newest_to(&stage.smtp, "ann@example.com").await;
    let verified = stage.idp.verify(&owed.challenge_id, &code).await.unwrap();
    assert_eq!(verified.result(), pb::VerifyResult::Verified);
    start(&stage.idp, "bo", "", |_| {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_sets_policies_events_and_the_switch() {
    let stage = Stage::new(Home::new()).await;
    let key = stage.home.path("ops.key");
    std::fs::write(&key, stage.home.caller("cli", Role::Admin).await).unwrap();
    let server = format!("http://{}", stage.service.grpc);
    let run = |line: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_mailfactor"))
            .args(line.split(' '))
            .args(["--server", &server, "--api-key-file"])
            .arg(&key)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    assert!(run("event create payroll").0);
    let (done, shown, _) = run("policy set --event payroll code.length=8 lifetime.login=2m account= --json");
    assert!(done);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["fields"]["code.length"], 8);
    assert_eq!(shown["fields"]["lifetime.login"], "2m");
    let (_, table, _) = run("policy show --event payroll");
    let line = table
        .lines()
        .find(|line| line.starts_with("code.length"))
        .unwrap();
    assert!(line.ends_with("yes"), "{line}");
    let (done, _, told) = run("policy set attempts=99");
    assert!(
        !done && told.contains("policy.attempts: must be between 1 and 10"),
        "{told}"
    );
    let (_, reset, _) = run("policy reset --event payroll --all --json");
    assert!(reset.contains("\"code.length\": 6"), "{reset}");
    assert!(run("event list").1.contains("payroll"));
    assert!(run("event remove payroll").0);
    assert!(run("sending off").1.contains("off"));
    assert!(run("sending show --json").1.contains("\"changed_by\": \"cli\""));
    assert!(run("sending on").0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mask_needs_no_setting_and_cannot_be_switched_off() {
    let stage = Stage::new(Home::new()).await;
    let masked = async |event: &str| {
        start(&stage.idp, "ann", event, |_| {})
            .await
            .unwrap()
            .masked_recipient
    };
    assert_eq!(masked("").await, "a*****@e*****.com");
    for pattern in [
        "",
        " ",
        "none",
        "{local:3}@{domain:3}.{tld}",
        "{local:64}***@{domain:1}***.{tld}",
        "{local}***",
        "***{address}",
        "***\n",
    ] {
        for event in ["", "vpn"] {
            if event == "vpn" && pattern.is_empty() {
                stage.create_event(event).await.unwrap();
            }
            let refused = stage
                .set(event, &["mask"], |policy| policy.mask = pattern.to_owned())
                .await;
            assert_eq!(faults(refused)[0].0, "policy.mask", "{pattern:?}");
        }
    }
    assert_eq!(
        stage.get("").await.unwrap().mask,
        "{local:1}*****@{domain:1}*****.{tld}"
    );
    let own = "{local:2}•••@•••.{tld}";
    stage
        .set("vpn", &["mask"], |policy| policy.mask = own.to_owned())
        .await
        .unwrap();
    assert_eq!(masked("vpn").await, "an•••@•••.com");
    assert_eq!(masked("").await, "a*****@e*****.com");
}
