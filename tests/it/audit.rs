//! The audit: every change leaves one event that says who, what and when, and no secret.

use std::{collections::BTreeSet, time::Duration};

use mailfactor::{
    domain::caller::Role,
    pb::{self as protocol, v1 as pb},
};
use prost::Message as _;
use prost_types::FieldMask;
use serde_json::{Value, json};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::harness::{
    ManualClock,
    client::Client,
    command::mailfactor,
    ground, in_time,
    process::Process,
    service::Home,
    smtp::{Act, At, SmtpServer},
};

/// Calls of administrators that change nothing that lasts, and why they leave no event.
const EXEMPT: [&str; 5] = [
    // Look at a server.
    "MailSenderPolicy/TestConnection",
    "MailInbox/TestInbox",
    // What it reads is noted with the mails it is about.
    "MailInbox/CheckInbox",
    // Its mail is in the outbox.
    "MailSenderPolicy/SendTestMessage",
    // What is forgotten is looked up again.
    "UserRepositories/FlushUsers",
];

const PASSWORD: &str = "canary-7c1f-first";
const NEXT_PASSWORD: &str = "canary-90aa-second";

/// The calls that only administrators may make, by the protocol's own words.
fn changing_calls() -> BTreeSet<String> {
    let set = prost_types::FileDescriptorSet::decode(protocol::DESCRIPTORS).unwrap();
    let mut found = BTreeSet::new();
    for file in set.file.iter().filter(|file| file.package() == "mailfactor.v1") {
        let comments = &file.source_code_info.as_ref().unwrap().location;
        for (s, service) in (0..).zip(&file.service) {
            for (m, method) in (0..).zip(&service.method) {
                let comment = comments
                    .iter()
                    .find(|comment| comment.path == [6, s, 2, m])
                    .unwrap();
                if comment.leading_comments().contains("Roles: admin.") {
                    found.insert(format!("{}/{}", service.name(), method.name()));
                }
            }
        }
    }
    found
}

async fn events(client: &Client, request: pb::ListAuditEventsRequest) -> Vec<pb::AuditEvent> {
    let answer = client.audit.clone().list_audit_events(request).await.unwrap();
    answer.into_inner().events
}

fn all() -> pb::ListAuditEventsRequest {
    pb::ListAuditEventsRequest {
        page_size: 500,
        ..pb::ListAuditEventsRequest::default()
    }
}

/// A call under a name of its caller's.
fn named<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("x-request-id", "change-4711".parse().unwrap());
    request
}

/// A service with an administrator, and the calls that were tried.
struct Stage {
    home: Home,
    process: Process,
    smtp: SmtpServer,
    admin: Client,
    eye: Client,
    tried: BTreeSet<String>,
}

impl Stage {
    async fn set() -> Self {
        let home = Home::new();
        home.users(&[("ann", "ann@example.com"), ("bo@example.net", "bo@example.net")]);
        let admin = home.caller("ops", Role::Admin).await;
        let eye = home.caller("eye", Role::Auditor).await;
        let process = home.spawn().await;
        Self {
            smtp: SmtpServer::plain().await,
            admin: process.client(&admin).await,
            eye: process.client(&eye).await,
            home,
            process,
            tried: BTreeSet::new(),
        }
    }

    /// A call that is refused and then one that is not: none, then one event. Gives it.
    async fn deed(
        &mut self,
        rpc: &str,
        action: &str,
        object: &str,
        call: impl AsyncFn(bool) -> Result<(), Status>,
    ) -> pb::AuditEvent {
        self.tried.insert(rpc.to_owned());
        let before = events(&self.eye, all()).await;
        call(false).await.expect_err(rpc);
        assert_eq!(events(&self.eye, all()).await, before, "{rpc} was refused");
        call(true)
            .await
            .unwrap_or_else(|status| panic!("{rpc}: {status:?}"));
        let mut after = events(&self.eye, all()).await;
        assert_eq!(after.split_off(1), before, "{rpc} leaves one event");
        let event = after.remove(0);
        assert_eq!(
            (event.action.as_str(), event.object_name.as_str()),
            (action, object)
        );
        assert_eq!(
            (
                event.actor_kind(),
                event.actor_name.as_str(),
                event.request_id.as_str()
            ),
            (pb::ActorKind::Caller, "ops", "change-4711")
        );
        assert!(
            event.peer.starts_with("127.0.0.1:") && !event.actor_id.is_empty(),
            "{event:?}"
        );
        event
    }
}

fn account(name: &str, password: &str) -> pb::Account {
    pb::Account {
        name: name.to_owned(),
        enabled: true,
        host: "127.0.0.1".to_owned(),
        port: 2525,
        security: pb::ConnectionSecurity::None.into(),
        authentication: true,
        username: "relay".to_owned(),
        secret: Some(pb::AccountSecret {
            source: Some(pb::account_secret::Source::Password(password.to_owned())),
        }),
        sender: "login@example.org".to_owned(),
        ..pb::Account::default()
    }
}

fn fields(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn every_change_over_grpc_leaves_one_event_and_no_secret() {
    let mut stage = Stage::set().await;
    accounts(&mut stage).await;
    policies(&mut stage).await;
    templates(&mut stage).await;
    requeue(&mut stage).await;
    dkim(&mut stage).await;
    inboxes(&mut stage).await;

    let mut changing = changing_calls();
    for rpc in EXEMPT {
        assert!(changing.remove(rpc), "{rpc} is gone");
    }
    assert_eq!(
        stage.tried, changing,
        "a call that only administrators may make leaves an audit event, and is tried here; or it is EXEMPT"
    );
    let told = events(&stage.eye, all()).await;
    let lines = stage.process.log();
    let lines: Vec<Value> = lines
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["target"] == "mailfactor::audit")
        .collect();
    // The two callers were added before the service ran.
    assert_eq!(lines.len(), told.len() - 2);
    assert_eq!(lines[0]["audit.action"], "account.create", "{}", lines[0]);
    let text = format!("{told:?} {lines:?}");
    for secret in [PASSWORD, NEXT_PASSWORD, "ann@example.com"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

async fn accounts(stage: &mut Stage) {
    let admin = stage.admin.clone();
    let event = stage
        .deed(
            "MailSenderPolicy/CreateAccount",
            "account.create",
            "relay",
            async |good| {
                let account = Some(account(if good { "relay" } else { "" }, PASSWORD));
                let request = named(pb::CreateAccountRequest { account });
                admin.policy.clone().create_account(request).await.map(drop)
            },
        )
        .await;
    let after = fields(&event.after);
    assert_eq!(event.before, "{}");
    assert_eq!(
        (&after["host"], &after["security"], &after["secret"]),
        (&json!("127.0.0.1"), &json!("none"), &json!("set"))
    );
    let relay = event.object_id;
    let event = stage
        .deed(
            "MailSenderPolicy/UpdateAccount",
            "account.update",
            "relay",
            async |good| {
                let account = pb::Account {
                    account_id: relay.clone(),
                    port: 2526,
                    etag: if good { String::new() } else { "v99".to_owned() },
                    ..account("relay", NEXT_PASSWORD)
                };
                let paths = ["port", "secret"].map(str::to_owned).to_vec();
                let request = named(pb::UpdateAccountRequest {
                    account: Some(account),
                    update_mask: Some(FieldMask { paths }),
                });
                admin.policy.clone().update_account(request).await.map(drop)
            },
        )
        .await;
    assert_eq!(fields(&event.before), json!({"port": 2525, "secret": "set"}));
    assert_eq!(fields(&event.after), json!({"port": 2526, "secret": "changed"}));
    let other = admin.mail_through(stage.smtp.address).await;
    let event = stage
        .deed(
            "MailSenderPolicy/SetDefaultAccount",
            "account.set_default",
            &other.name,
            async |good| {
                let account = if good {
                    other.name.clone()
                } else {
                    "nobody".to_owned()
                };
                let request = named(pb::SetDefaultAccountRequest { account });
                admin.policy.clone().set_default_account(request).await.map(drop)
            },
        )
        .await;
    assert_eq!(fields(&event.after), json!({"is_default": true}));
    let event = stage
        .deed(
            "MailSenderPolicy/DeleteAccount",
            "account.delete",
            "relay",
            async |good| {
                let request = named(pb::DeleteAccountRequest {
                    account: if good { relay.clone() } else { other.name.clone() },
                    ..pb::DeleteAccountRequest::default()
                });
                admin.policy.clone().delete_account(request).await.map(drop)
            },
        )
        .await;
    assert_eq!(
        (fields(&event.before)["port"].clone(), event.after.as_str()),
        (json!(2526), "{}")
    );
}

async fn dkim(stage: &mut Stage) {
    let admin = stage.admin.clone();
    let account = format!("test-{}", stage.smtp.address.port());
    let record = "mf1._domainkey.example.org";
    let event = stage
        .deed("MailSenderPolicy/SetDkimKey", "dkim.set", record, async |good| {
            let key = pb::DkimKey {
                selector: if good { "mf1" } else { "-" }.to_owned(),
                source: Some(pb::dkim_key::Source::Generate(true)),
                ..pb::DkimKey::default()
            };
            let request = named(pb::SetDkimKeyRequest {
                account: account.clone(),
                key: Some(key),
            });
            admin.policy.clone().set_dkim_key(request).await.map(drop)
        })
        .await;
    let after = fields(&event.after);
    assert_eq!(
        (&after["algorithm"], &after["private_key"]),
        (&json!("ed25519-sha256"), &json!("set"))
    );
    stage
        .deed(
            "MailSenderPolicy/DeleteDkimKey",
            "dkim.delete",
            record,
            async |good| {
                let request = named(pb::DeleteDkimKeyRequest {
                    account: account.clone(),
                    selector: if good { "mf1" } else { "mf2" }.to_owned(),
                    etag: String::new(),
                });
                admin.policy.clone().delete_dkim_key(request).await.map(drop)
            },
        )
        .await;
}

async fn inboxes(stage: &mut Stage) {
    let admin = stage.admin.clone();
    let inbox = || pb::Inbox {
        name: "bounces".to_owned(),
        enabled: true,
        protocol: pb::InboxProtocol::Imap.into(),
        host: "127.0.0.1".to_owned(),
        port: 2143,
        security: pb::ConnectionSecurity::ImplicitTls.into(),
        username: "bounces".to_owned(),
        secret: Some(pb::AccountSecret {
            source: Some(pb::account_secret::Source::Password(PASSWORD.to_owned())),
        }),
        ..pb::Inbox::default()
    };
    let event = stage
        .deed("MailInbox/CreateInbox", "inbox.create", "bounces", async |good| {
            let inbox = pb::Inbox {
                port: if good { 2143 } else { 70_000 },
                ..inbox()
            };
            let request = named(pb::CreateInboxRequest { inbox: Some(inbox) });
            admin.inbox.clone().create_inbox(request).await.map(drop)
        })
        .await;
    assert_eq!(fields(&event.after)["secret"], json!("set"));
    let id = event.object_id;
    let event = stage
        .deed("MailInbox/UpdateInbox", "inbox.update", "bounces", async |good| {
            let inbox = pb::Inbox {
                inbox_id: id.clone(),
                port: 2144,
                etag: if good { String::new() } else { "v99".to_owned() },
                ..inbox()
            };
            let request = named(pb::UpdateInboxRequest {
                inbox: Some(inbox),
                update_mask: Some(FieldMask {
                    paths: vec!["port".to_owned()],
                }),
            });
            admin.inbox.clone().update_inbox(request).await.map(drop)
        })
        .await;
    assert_eq!(fields(&event.after), json!({"port": 2144}));
    stage
        .deed("MailInbox/DeleteInbox", "inbox.delete", "bounces", async |good| {
            let request = named(pb::DeleteInboxRequest {
                inbox: if good { id.clone() } else { "nobody".to_owned() },
                etag: String::new(),
            });
            admin.inbox.clone().delete_inbox(request).await.map(drop)
        })
        .await;
}

async fn policies(stage: &mut Stage) {
    let admin = stage.admin.clone();
    stage
        .deed(
            "MailSenderPolicy/CreateEvent",
            "event.create",
            "payroll",
            async |good| {
                let event = if good { "payroll" } else { "pay roll" }.to_owned();
                let request = named(pb::CreateEventRequest { event });
                admin.policy.clone().create_event(request).await.map(drop)
            },
        )
        .await;
    let event = stage
        .deed(
            "MailSenderPolicy/UpdateOtpPolicy",
            "policy.update",
            "payroll",
            async |good| {
                let policy = pb::OtpPolicy {
                    event: "payroll".to_owned(),
                    attempts: if good { 3 } else { 99 },
                    ..pb::OtpPolicy::default()
                };
                let request = named(pb::UpdateOtpPolicyRequest {
                    policy: Some(policy),
                    update_mask: Some(FieldMask {
                        paths: vec!["attempts".to_owned()],
                    }),
                });
                admin.policy.clone().update_otp_policy(request).await.map(drop)
            },
        )
        .await;
    assert_eq!(
        (event.before.as_str(), fields(&event.after)),
        ("{}", json!({"attempts": 3}))
    );
    let event = stage
        .deed(
            "MailSenderPolicy/ResetOtpPolicy",
            "policy.reset",
            "payroll",
            async |good| {
                let request = named(pb::ResetOtpPolicyRequest {
                    event: if good { "payroll" } else { "nothing" }.to_owned(),
                    reset_mask: Some(FieldMask {
                        paths: vec!["*".to_owned()],
                    }),
                    ..pb::ResetOtpPolicyRequest::default()
                });
                admin.policy.clone().reset_otp_policy(request).await.map(drop)
            },
        )
        .await;
    assert_eq!(
        (fields(&event.before), event.after.as_str()),
        (json!({"attempts": 3}), "{}")
    );
    stage
        .deed(
            "MailSenderPolicy/DeleteEvent",
            "event.delete",
            "payroll",
            async |good| {
                let request = named(pb::DeleteEventRequest {
                    event: if good { "payroll" } else { "nothing" }.to_owned(),
                    ..pb::DeleteEventRequest::default()
                });
                admin.policy.clone().delete_event(request).await.map(drop)
            },
        )
        .await;
    for enabled in [false, true] {
        let event = stage
            .deed(
                "MailSenderPolicy/SetSending",
                "sending.set",
                "sending",
                async |good| {
                    let request = named(pb::SetSendingRequest {
                        enabled: good.then_some(enabled),
                    });
                    admin.policy.clone().set_sending(request).await.map(drop)
                },
            )
            .await;
        assert_eq!(fields(&event.before), json!({"enabled": !enabled}));
        assert_eq!(fields(&event.after), json!({"enabled": enabled}));
    }
}

async fn templates(stage: &mut Stage) {
    let admin = stage.admin.clone();
    let event = stage
        .deed(
            "MailSenderPolicy/UpdateTemplate",
            "template.update",
            "login/*/en",
            async |good| {
                let text = if good { "Your code: {{ otp }}" } else { "No code" };
                let template = pb::Template {
                    purpose: pb::Purpose::Login.into(),
                    language: "en".to_owned(),
                    subject: "Sign in".to_owned(),
                    text: text.to_owned(),
                    ..pb::Template::default()
                };
                let request = named(pb::UpdateTemplateRequest {
                    template: Some(template),
                });
                admin.policy.clone().update_template(request).await.map(drop)
            },
        )
        .await;
    assert_eq!(
        fields(&event.after),
        json!({"subject": "Sign in", "text": "Your code: {{ otp }}"})
    );
    stage
        .deed(
            "MailSenderPolicy/ResetTemplate",
            "template.reset",
            "login/*/en",
            async |good| {
                let request = named(pb::ResetTemplateRequest {
                    purpose: pb::Purpose::Login.into(),
                    language: if good { "en" } else { "de" }.to_owned(),
                    ..pb::ResetTemplateRequest::default()
                });
                admin.policy.clone().reset_template(request).await.map(drop)
            },
        )
        .await;
}

async fn requeue(stage: &mut Stage) {
    let admin = stage.admin.clone();
    stage
        .smtp
        .times(1, At::Rcpt, Act::Reply("550 5.1.1 no such mailbox"));
    let challenge = admin.start("ann").await.unwrap();
    admin
        .wait_until(&challenge.challenge_id, pb::DeliveryState::Failed)
        .await;
    let (entry, _) = ground::newest_entry(&admin).await;
    let event = stage
        .deed(
            "MailOutbox/RequeueEntry",
            "outbox.requeue",
            &entry.masked_recipient,
            async |good| {
                let nothing = "AAAAAAAAAAAAAAAAAAAAAA".to_owned();
                let entry_id = if good { entry.entry_id.clone() } else { nothing };
                let request = named(pb::RequeueEntryRequest { entry_id });
                admin.outbox.clone().requeue_entry(request).await.map(drop)
            },
        )
        .await;
    assert_eq!(event.object_id, entry.entry_id);
    assert_eq!(fields(&event.before), json!({"state": "failed"}));
}

#[tokio::test]
async fn what_is_done_on_the_machine_itself_is_told_by_its_user() {
    let stage = Stage::set().await;
    let config = stage.home.write();
    let here = async |line: &str| mailfactor(&format!("--config {} {line}", config.display()), &[], "").await;
    let key = here("caller add web --role endpoint --json").await.json();
    let next = here("caller rotate web --json").await.json();
    here("user lock ann").await.done();
    here("user unlock ann").await.done();
    here("user lock bo@example.net").await.done();
    here("caller remove web").await.done();
    // What changes nothing, or is refused, leaves nothing.
    here("user unlock ann").await.done();
    here("user lock nobody").await.failed(1);
    here("caller remove web").await.failed(1);
    here("caller list").await.done();
    let mut told = events(&stage.eye, all()).await;
    told.reverse();
    let deeds: Vec<(&str, &str)> = told
        .iter()
        .map(|event| (event.action.as_str(), event.object_name.as_str()))
        .collect();
    assert_eq!(
        deeds,
        [
            ("caller.add", "ops"),
            ("caller.add", "eye"),
            ("caller.add", "web"),
            ("caller.rotate", "web"),
            ("user.lock", "staff/ann"),
            ("user.unlock", "staff/ann"),
            ("user.lock", "staff/b*****@e*****.net"),
            ("caller.remove", "web"),
        ]
    );
    let uid = rustix_uid();
    for event in &told {
        assert_eq!(
            (event.actor_kind(), event.actor_id.as_str(), event.peer.as_str()),
            (pb::ActorKind::Local, uid.as_str(), "")
        );
    }
    let text = format!("{told:?}");
    for secret in [&key["api_key"], &next["api_key"]] {
        let secret = secret.as_str().unwrap();
        assert!(!text.contains(secret.rsplit_once('_').unwrap().1));
    }

    // For people and for scripts, by the command.
    let eye = stage.home.caller("eye-2", Role::Auditor).await;
    let list = async |line: &str| {
        let server = format!("http://{}", stage.process.grpc);
        let variables = [
            ("MAILFACTOR_SERVER", server.as_str()),
            ("MAILFACTOR_API_KEY", eye.as_str()),
        ];
        mailfactor(&format!("audit list {line}"), &variables, "").await
    };
    let found = list("--action user --object staff/ann --json").await.json();
    let actions: Vec<&str> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["user.unlock", "user.lock"]);
    assert_eq!(found[1]["after"], json!({"locked": true}));
    let table = list("--action caller.rotate --limit 5").await.done();
    assert!(
        table.starts_with("WHEN") && table.contains("keys \"set\" -> \"changed\""),
        "{table}"
    );
    assert_eq!(list("--object nobody").await.done().lines().count(), 1);
    let wrong = list("--action acount").await.failed(1);
    assert!(wrong.contains("action: must be one of account.create"), "{wrong}");
}

fn rustix_uid() -> String {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid().to_string()
}

#[tokio::test]
async fn pages_follow_each_other_and_filters_hold() {
    let stage = Stage::set().await;
    for number in 0..7 {
        let event = format!("event-{number}");
        stage
            .admin
            .policy
            .clone()
            .create_event(pb::CreateEventRequest { event })
            .await
            .unwrap();
    }
    let whole = events(&stage.eye, all()).await;
    let mut paged = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListAuditEventsRequest {
            page_size: 2,
            page_token,
            ..pb::ListAuditEventsRequest::default()
        };
        let page = stage
            .eye
            .audit
            .clone()
            .list_audit_events(request)
            .await
            .unwrap()
            .into_inner();
        paged.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, whole);
    let by = |action: &str, object: &str, actor: &str| pb::ListAuditEventsRequest {
        action: action.to_owned(),
        object: object.to_owned(),
        actor: actor.to_owned(),
        ..all()
    };
    assert_eq!(events(&stage.eye, by("event", "", "")).await.len(), 7);
    assert_eq!(events(&stage.eye, by("event.delete", "", "")).await.len(), 0);
    assert_eq!(
        events(&stage.eye, by("", "event-3", "")).await,
        [whole[3].clone()]
    );
    assert_eq!(events(&stage.eye, by("event", "", "ops")).await.len(), 7);
    let since = pb::ListAuditEventsRequest {
        from: whole[2].at,
        ..all()
    };
    assert_eq!(events(&stage.eye, since).await, whole[..3]);
    let refused = async |request| {
        let status = stage
            .eye
            .audit
            .clone()
            .list_audit_events(request)
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let faults = status.get_details_bad_request().unwrap().field_violations;
        faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
    };
    let wrong = pb::ListAuditEventsRequest {
        page_size: 501,
        page_token: "x".to_owned(),
        object: "a\nb".to_owned(),
        ..by("nothing", "", "")
    };
    let mut named = refused(wrong).await;
    named.sort();
    assert_eq!(named, ["action", "object", "page_size", "page_token"]);
    let idp = stage.home.caller("idp", Role::Authenticator).await;
    let idp = stage.process.client(&idp).await;
    let status = idp.audit.clone().list_audit_events(all()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn what_is_past_its_retention_is_forgotten() {
    let home = Home::new().with("audit.keep", "1d");
    let key = home.caller("ops", Role::Admin).await;
    let clock = std::sync::Arc::new(ManualClock::new());
    let service = home.serve(ground::machine(&clock)).await;
    let admin = service.client(&key).await;
    let request = pb::CreateEventRequest {
        event: "old".to_owned(),
    };
    admin.policy.clone().create_event(request).await.unwrap();
    let old = pb::ListAuditEventsRequest {
        action: "event".to_owned(),
        ..all()
    };
    assert_eq!(events(&admin, old.clone()).await.len(), 1);
    service.stop().await;
    clock.advance(Duration::from_secs(2 * 24 * 60 * 60));
    // Looked for at every start.
    let service = home.serve(ground::machine(&clock)).await;
    let admin = service.client(&key).await;
    in_time(async {
        while !events(&admin, old.clone()).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // The key was made today, which is later than what the service takes for now.
    assert_eq!(events(&admin, all()).await.len(), 1);
}
