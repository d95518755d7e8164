//! Several repositories side by side: which of them a name goes to, and what administrators see of them.

use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};
use toml::{Table, Value};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::{
    harness::{
        client::health,
        command::{Ran, mailfactor},
        ground::{Ground, reason},
        letter,
        service::Home,
        slapd::Slapd,
    },
    ldap::{corp, ldaps},
};

/// A repository of users in a file of their own, each at `NAME@FILE.example`.
fn file(home: &Home, name: &str, users: &[&str], more: &[(&str, Value)]) -> Value {
    let path = home.path(&format!("{name}.toml"));
    let mut entries = String::new();
    for user in users {
        entries.push_str(&format!(
            "[[user]]\nname = {user:?}\nemail = \"{}@{name}.example\"\n",
            bare(user)
        ));
    }
    std::fs::write(&path, entries).unwrap();
    let mut table = Table::from_iter([
        ("name".to_owned(), Value::from(name)),
        ("kind".to_owned(), Value::from("file")),
        ("path".to_owned(), Value::from(path.display().to_string())),
    ]);
    table.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    Value::Table(table)
}

fn bare(user: &str) -> String {
    user.chars().take_while(char::is_ascii_alphanumeric).collect()
}

fn list(names: &[&str]) -> Value {
    Value::Array(names.iter().map(|&name| Value::from(name)).collect())
}

#[tokio::test]
async fn names_go_where_their_domain_is_and_in_order_otherwise() {
    let mut home = Home::new();
    let repositories = [
        file(&home, "board", &["ann", "bob"], &[]),
        file(
            &home,
            "corp",
            &["ann", "cy", "kim@corp.example"],
            &[("domains", list(&["CORP", "corp.example"]))],
        ),
        file(
            &home,
            "partners",
            &["dee", "ann"],
            &[
                ("domains", list(&["partner.example"])),
                ("bare_names", false.into()),
                ("strip_domain", true.into()),
            ],
        ),
    ];
    home.set("repository", Value::Array(repositories.to_vec()));
    home.set("events.vpn.repositories", list(&["corp", "partners"]));
    home.set("policy.sends.user.burst", 1_000);
    home.set("policy.sends.address.burst", 1_000);
    let scene = Ground::set(home).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    let admin = service.client(&scene.admin).await;
    for (user, repository, event, expected) in [
        // In configured order.
        ("ann", "", "", "ann@board.example"),
        ("cy", "", "", "cy@corp.example"),
        // By domain, in either form and any case.
        ("CORP\\ann", "", "", "ann@corp.example"),
        ("corp\\cy", "", "", "cy@corp.example"),
        ("kim@corp.example", "", "", "kim@corp.example"),
        ("kim@CORP.EXAMPLE", "", "", "kim@corp.example"),
        ("dee@partner.example", "", "", "dee@partners.example"),
        ("ann@partner.example", "", "", "ann@partners.example"),
        // Nowhere else.
        ("CORP\\bob", "", "", "USER_UNKNOWN"),
        ("bob@corp.example", "", "", "USER_UNKNOWN"),
        ("dee", "", "", "USER_UNKNOWN"),
        ("OTHER\\ann", "", "", "USER_UNKNOWN"),
        ("\\ann", "", "", "USER_UNKNOWN"),
        // By the event's policy, and by name: then whatever the name looks like.
        ("ann", "", "vpn", "ann@corp.example"),
        ("bob", "", "vpn", "USER_UNKNOWN"),
        ("ann", "board", "vpn", "INVALID_FIELD"),
        ("ann", "corp", "", "ann@corp.example"),
        ("dee", "partners", "", "dee@partners.example"),
        ("CORP\\ann", "corp", "", "ann@corp.example"),
        ("ann", "elsewhere", "", "INVALID_FIELD"),
    ] {
        let request = pb::StartChallengeRequest {
            user: user.to_owned(),
            repository: repository.to_owned(),
            event: event.to_owned(),
            ..pb::StartChallengeRequest::default()
        };
        let before = scene.smtp.mails().len();
        let told = match crate::harness::scene::start(&idp, request).await {
            Ok(_) => letter::recipient(scene.smtp.wait_for_mails(before + 1).await.last().unwrap()),
            Err(status) => reason(&status).1,
        };
        assert_eq!(told, expected, "{user} in {repository:?} for {event:?}");
    }
    // What a look-up says is what a start does.
    let findings = async |user: &str| {
        let request = pb::LookUpUserRequest {
            user: user.to_owned(),
            ..pb::LookUpUserRequest::default()
        };
        let answer = admin.repositories.clone().look_up_user(request).await.unwrap();
        let findings = answer.into_inner().findings.into_iter();
        let written = findings.map(|found| (found.repository.clone(), found.result(), found.decides));
        written.collect::<Vec<_>>()
    };
    let (found, unknown) = (pb::LookUpResult::Found, pb::LookUpResult::Unknown);
    assert_eq!(
        findings("ann").await,
        [
            ("board".to_owned(), found, true),
            ("corp".to_owned(), found, false)
        ]
    );
    assert_eq!(
        findings("cy").await,
        [
            ("board".to_owned(), unknown, false),
            ("corp".to_owned(), found, true)
        ]
    );
    assert_eq!(findings("CORP\\bob").await, [("corp".to_owned(), unknown, false)]);
    service.stop().await;
}

#[tokio::test]
async fn administrators_see_what_would_be_found_masked_unless_they_ask() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    let mut home = Home::new();
    let down = corp(
        &["ldap://127.0.0.1:1".to_owned()],
        authority.path(),
        &[("name", "away".into())],
    );
    let repositories = vec![
        file(&home, "board", &["bob"], &[]),
        corp(&[ldaps(slapd)], authority.path(), &[]),
        down,
    ];
    home.set("repository", Value::Array(repositories));
    let scene = Ground::set(home).await;
    let (service, _) = scene.serve(Machine::real()).await;
    let auditor = scene.home.caller("auditor", Role::Auditor).await;
    let server = format!("http://{}", service.grpc);
    let run = async |key: &str, line: &str| -> Ran {
        let variables = [
            ("MAILFACTOR_SERVER", server.as_str()),
            ("MAILFACTOR_API_KEY", key),
        ];
        mailfactor(line, &variables, "").await
    };
    let lookup = "repository lookup ann --json";
    for key in [scene.admin.as_str(), &auditor] {
        let found = run(key, lookup).await.json();
        assert_eq!(found[0]["result"], "unknown");
        assert_eq!(found[1]["repository"], "corp");
        assert_eq!(found[1]["result"], "found");
        assert_eq!(found[1]["decides"], true);
        assert_eq!(found[1]["address"], "a*****@e*****.com");
        assert_eq!(found[1]["user_id"], "");
        assert_eq!(found[2]["result"], "unavailable");
    }
    let found = run(&scene.admin, "repository lookup ann --unmasked --json")
        .await
        .json();
    assert_eq!(found[1]["address"], "ann@example.com");
    assert_eq!(found[1]["display_name"], "Ann Example");
    assert_eq!(found[1]["user_id"].as_str().unwrap().len(), 36, "its entryUUID");
    let refused = run(&auditor, "repository lookup ann --unmasked").await.failed(1);
    assert!(refused.contains("unmasked"), "{refused}");
    run(&scene.admin, "repository lookup nobody").await.failed(1);
    run(&scene.admin, "repository lookup ann --repository nowhere")
        .await
        .failed(1);
    let table = run(&scene.admin, "repository lookup bob").await.done();
    assert!(table.contains("b*****@b*****.example"), "{table}");
    let listed = run(&auditor, "repository list --json").await.json();
    let answering: Vec<bool> = (0..3)
        .map(|index| listed[index]["answering"].as_bool().unwrap())
        .collect();
    assert_eq!(answering, [true, true, false], "{listed}");
    assert_eq!(listed[1]["checks_passwords"], true);
    let flushed = run(&scene.admin, "repository flush").await.done();
    assert!(flushed.contains("0 remembered"), "{flushed}");
    run(&auditor, "repository flush").await.failed(1);
    for (name, expected) in [
        ("repository/board", Some(ServingStatus::Serving)),
        ("repository/corp", Some(ServingStatus::Serving)),
        ("repository/away", Some(ServingStatus::NotServing)),
        ("repository/nowhere", None),
        ("", Some(ServingStatus::Serving)),
    ] {
        crate::harness::in_time(async {
            while health(service.grpc, name).await != expected {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        })
        .await;
    }
    // Endpoints and authentication servers have no business here.
    let idp = service.client(&scene.idp).await;
    let status = idp
        .repositories
        .clone()
        .list_repositories(pb::ListRepositoriesRequest {})
        .await
        .unwrap_err();
    assert_eq!(
        reason(&status),
        (Code::PermissionDenied, "ROLE_MISSING".to_owned())
    );
    service.stop().await;
}

/// What would send passwords over a network in the clear, or asks for nobody, is refused before anything listens.
#[tokio::test]
async fn a_directory_that_is_set_up_wrong_is_refused_at_the_start() {
    for (line, told) in [
        (
            "servers = [\"ldap://dc1.example.com\"]",
            "servers[0]: would be asked in the clear",
        ),
        ("servers = [\"dc1.example.com\"]", "servers[0]: must be"),
        (
            "servers = [\"ldaps://dc1.example.com\"]\nfilter = \"(uid=ann)\"",
            "filter: must have",
        ),
        (
            "servers = [\"ldaps://dc1.example.com\"]\nbind_dn = \"cn=x\"",
            "bind_password: belongs to",
        ),
        (
            "servers = [\"ldaps://dc1.example.com\"]\npreset = \"exchange\"",
            "preset: must be",
        ),
        (
            "servers = [\"ldaps://dc1.example.com\"]\nurl = \"sqlite:x\"",
            "url: does not go with kind",
        ),
        ("servers = []", "servers: must name one"),
    ] {
        let home = Home::new();
        let preset = if line.contains("preset") {
            ""
        } else {
            "preset = \"ad\"\n"
        };
        let text = format!(
            "[[repository]]\nname = \"corp\"\nkind = \"ldap\"\nbase = \"dc=example\"\n{preset}{line}\n[store]\nurl = \"sqlite:{}\"\n[server]\nlisten = \"127.0.0.1:0\"\n[metrics]\nlisten = \"\"\n",
            home.path("mailfactor.db").display()
        );
        let path = home.path("wrong.toml");
        std::fs::write(&path, text).unwrap();
        let ran = mailfactor(&format!("--config {} serve", path.display()), &[], "").await;
        let said = ran.failed(78);
        assert!(said.contains(told), "{line}: {said}");
    }
}

/// What the page says can be written down as it stands.
#[test]
fn the_examples_of_the_page_are_configurations() {
    let page = include_str!("../../docs/repositories.md");
    let examples: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(examples.len() >= 3);
    let home = Home::new();
    let authority = crate::harness::certs::Authority::new();
    for name in ["corp-ca.pem", "ldap-ca.pem", "db-ca.pem"] {
        std::fs::copy(authority.path(), home.path(name)).unwrap();
    }
    for name in ["corp.password", "ldap.password"] {
        std::fs::write(home.path(name), "canary-4711\n").unwrap();
    }
    std::fs::write(
        home.path("portal.url"),
        "postgres://mailfactor:canary-4711@db.example.com/portal\n",
    )
    .unwrap();
    let whole = examples.join("\n");
    let here = format!("{}/", home.path("").display());
    let file = home.path("page.toml");
    for text in examples.into_iter().chain([whole.as_str()]) {
        std::fs::write(&file, text.replace("/etc/mailfactor/", &here)).unwrap();
        let config = mailfactor::config::Config::load(Some(&file), [])
            .unwrap_or_else(|faults| panic!("{text}\n{faults}"));
        assert!(!config.users.repositories.is_empty());
        for field in ["canary-4711", "postgres:"] {
            assert!(!format!("{config:?}").contains(field), "{field} is shown");
        }
    }
}
