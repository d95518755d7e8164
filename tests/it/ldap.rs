//! A real OpenLDAP with 10,000 people: who is found, where mail goes, what it costs, and that no name gets out of its place.

use mailfactor::{app::Machine, pb::v1 as pb};
use toml::{Table, Value};
use tonic::Code;

use crate::harness::{
    certs::{Authority, Kind},
    client::Client,
    ground::{Ground, reason},
    letter,
    proxy::Proxy,
    scene::text,
    service::Home,
    slapd::{BASE, BIND_DN, BIND_PASSWORD, LdapEntry, ODD, Slapd, VPN},
};

/// A repository `corp` with these servers, and whatever else.
pub(crate) fn corp(servers: &[String], ca: &std::path::Path, more: &[(&str, Value)]) -> Value {
    let servers: Vec<Value> = servers
        .iter()
        .map(|server| Value::from(server.as_str()))
        .collect();
    let mut table = Table::from_iter([
        ("name".to_owned(), "corp".into()),
        ("kind".to_owned(), "ldap".into()),
        ("preset".to_owned(), "openldap".into()),
        ("servers".to_owned(), Value::Array(servers)),
        ("ca".to_owned(), ca.display().to_string().into()),
        ("bind_dn".to_owned(), BIND_DN.into()),
        ("bind_password".to_owned(), BIND_PASSWORD.into()),
        ("base".to_owned(), BASE.into()),
    ]);
    for (key, value) in more {
        table.insert((*key).to_owned(), value.clone());
    }
    Value::Table(table)
}

pub(crate) fn ldaps(slapd: &Slapd) -> String {
    format!("ldaps://localhost:{}", slapd.ldaps.port())
}

/// A home whose one repository is this.
pub(crate) fn home_with(repository: Value) -> Home {
    let mut home = Home::new();
    home.set("repository", Value::Array(vec![repository]));
    // A test sends more mails to one user than a user gets.
    home.set("policy.sends.user.burst", 1_000);
    home.set("policy.sends.user.per_day", 1_000);
    home.set("policy.sends.address.burst", 1_000);
    home.set("policy.sends.address.per_day", 1_000);
    home
}

async fn refusal(idp: &Client, user: &str) -> (Code, String) {
    reason(&idp.start(user).await.unwrap_err())
}

#[tokio::test]
async fn people_are_found_over_tls_whatever_they_are_called() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    let start_tls = format!("ldap://127.0.0.1:{}", slapd.ldap.port());
    for (server, more) in [
        (ldaps(slapd), vec![]),
        (start_tls, vec![("start_tls", Value::from(true))]),
    ] {
        let home = home_with(corp(&[server], authority.path(), &more));
        let scene = Ground::set(home).await;
        let (service, idp) = scene.serve(Machine::real()).await;
        let mut people: Vec<(String, String)> = ["u0", "u9999"]
            .map(|uid| (uid.to_owned(), format!("{uid}@example.com")))
            .to_vec();
        people.push((" ANN ".into(), "ann@example.com".into()));
        people.push(("many".into(), "many@example.com".into()));
        people.extend(
            (0..)
                .zip(ODD)
                .map(|(number, odd)| (odd.to_owned(), format!("odd{number}@example.com"))),
        );
        for (index, (user, address)) in people.iter().enumerate() {
            idp.start(user)
                .await
                .unwrap_or_else(|status| panic!("{user}: {status}"));
            let mails = scene.smtp.wait_for_mails(index + 1).await;
            assert!(
                mails.iter().any(|mail| letter::recipient(mail) == *address),
                "{user} is mailed at {address}"
            );
        }
        let mails = scene.smtp.mails();
        let ann = mails
            .iter()
            .find(|mail| letter::recipient(mail) == "ann@example.com")
            .unwrap();
        let text = text(ann);
        assert!(text.contains("Ann Example"), "{text}");
        assert!(text.contains("Ihr"), "in her language: {text}");
        for (user, code, expected) in [
            ("silent", Code::FailedPrecondition, "USER_HAS_NO_ADDRESS"),
            ("twin", Code::FailedPrecondition, "USER_AMBIGUOUS"),
            ("nobody", Code::NotFound, "USER_UNKNOWN"),
            ("u10000", Code::NotFound, "USER_UNKNOWN"),
            ("*", Code::NotFound, "USER_UNKNOWN"),
            ("u*", Code::NotFound, "USER_UNKNOWN"),
        ] {
            assert_eq!(refusal(&idp, user).await, (code, expected.to_owned()), "{user}");
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn only_members_of_the_groups_are_known() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    let attributes = Value::Table(Table::from_iter([("groups".to_owned(), "seeAlso".into())]));
    let groups = Value::Array(vec!["cn=nobody,dc=example,dc=com".into(), VPN.into()]);
    let more = [("attributes", attributes), ("groups", groups)];
    let home = home_with(corp(&[ldaps(slapd)], authority.path(), &more));
    let scene = Ground::set(home).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    idp.start("ann").await.unwrap();
    assert_eq!(refusal(&idp, "u1").await.1, "USER_UNKNOWN");
    service.stop().await;
}

/// The presets, as they stand, on what those products call things. (That OpenLDAP compares bits by the same rule as Active
/// Directory makes it possible; groups within groups it does not know.)
#[tokio::test]
async fn the_presets_know_who_may_log_in_and_where_mail_goes() {
    let authority = Authority::new();
    let ad = |name: &str, control: &str, mails: &[&str]| {
        LdapEntry::person("people", &format!("entry of {name}"), mails)
            .with("objectClass", "user")
            .with("objectCategory", "person")
            .with("sAMAccountName", name)
            .with("userPrincipalName", &format!("{name}@corp.example.com"))
            .with("userAccountControl", control)
    };
    let entries = [
        // 512 is an account as any other; 66048 is one whose password never expires; 2 added, it is disabled.
        ad("ann", "512", &["ann@example.com"]).with("objectGUID", "\u{1}bcdefgh\u{0}jklmnop"),
        ad("bo", "66048", &[])
            .with("proxyAddresses", "smtp:other@example.com")
            .with("proxyAddresses", "SMTP:bo@example.com"),
        ad("off", "514", &["off@example.com"]),
        ad("gone", "66050", &["gone@example.com"]),
        LdapEntry::person("people", "cy", &["cy@example.com"])
            .with("objectClass", "user")
            .with("fullName", "Cy Example")
            .with("groupMembership", VPN),
        LdapEntry::person("people", "out", &["out@example.com"])
            .with("objectClass", "user")
            .with("loginDisabled", "TRUE")
            .with("groupMembership", VPN),
        LdapEntry::person("people", "alone", &["alone@example.com"]),
    ];
    let Some(slapd) = Slapd::start(&authority, Kind::Good, &entries) else {
        return;
    };
    for (preset, more, known, unknown) in [
        (
            "ad",
            vec![("domains", list(&["CORP", "corp.example.com"]))],
            vec![
                ("ann", "ann@example.com"),
                ("Ann@corp.example.com", "ann@example.com"),
                ("CORP\\ann", "ann@example.com"),
                ("bo", "bo@example.com"),
            ],
            vec!["off", "gone", "off@corp.example.com", "cy", "entry of ann"],
        ),
        (
            "edirectory",
            vec![("groups", list(&[VPN]))],
            vec![("cy", "cy@example.com")],
            vec!["out", "alone", "ann"],
        ),
    ] {
        let mut repository = corp(&[ldaps(&slapd)], authority.path(), &more);
        repository
            .as_table_mut()
            .unwrap()
            .insert("preset".to_owned(), preset.into());
        let scene = Ground::set(home_with(repository)).await;
        let (service, idp) = scene.serve(Machine::real()).await;
        let admin = service.client(&scene.admin).await;
        for (user, address) in known {
            let request = pb::LookUpUserRequest {
                user: user.to_owned(),
                unmasked: true,
                ..pb::LookUpUserRequest::default()
            };
            let answer = admin.repositories.clone().look_up_user(request).await.unwrap();
            let finding = answer.into_inner().findings.remove(0);
            assert_eq!(finding.address, address, "{preset}: {user}");
            if address == "ann@example.com" {
                assert_eq!(finding.user_id, "0162636465666768006a6b6c6d6e6f70");
            }
        }
        for user in unknown {
            assert_eq!(refusal(&idp, user).await.1, "USER_UNKNOWN", "{preset}: {user}");
        }
        service.stop().await;
    }
}

fn list(names: &[&str]) -> Value {
    Value::Array(names.iter().map(|&name| Value::from(name)).collect())
}

/// A thousand names made to break whatever reads them. Those that the wire lets through are asked for once, as values; what
/// is in the log is escaped.
#[tokio::test]
async fn a_thousand_hostile_names_are_unknown_users() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    let home = home_with(corp(&[ldaps(slapd)], authority.path(), &[]));
    let scene = Ground::set(home).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    let names = hostile_names("ldap");
    assert!(names.len() >= 1_000);
    let mut asked = 0;
    for name in &names {
        let told = refusal(&idp, name).await;
        match told.1.as_str() {
            "USER_UNKNOWN" => asked += 1,
            "INVALID_FIELD" => {}
            other => panic!("{name:?}: {other}"),
        }
    }
    // Each carries this mark, which nothing else in the log does.
    let log = slapd.log();
    let searches: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(" SRCH base=") && line.contains("zqldap"))
        .collect();
    assert_eq!(searches.len(), asked, "one search for each name");
    for line in &searches {
        let filter = line.split("filter=\"").nth(1).unwrap().trim_end_matches('"');
        let inner = filter
            .strip_prefix("(&(objectClass=inetOrgPerson)(uid=")
            .and_then(|rest| rest.strip_suffix("))"))
            .unwrap_or_else(|| panic!("{line}"));
        assert!(!inner.contains(['*', '(', ')', '\0']), "{line}");
    }
    assert!(asked > 600, "{asked}");
    // All is well afterwards.
    idp.start("ann").await.unwrap();
    service.stop().await;
}

/// A thousand names with this mark in them.
pub(crate) fn hostile_names(mark: &str) -> Vec<String> {
    const SEEDS: [&str; 32] = [
        "'",
        "''",
        "\"",
        "`",
        "ann'; DROP TABLE users; --",
        "' OR '1'='1",
        "\" OR \"\"=\"",
        "$1",
        "?1",
        ":name",
        "%",
        "_nn",
        "a%",
        "*)(uid=*",
        "*)(objectClass=*))(|(uid=*",
        "\\",
        "\\2a",
        "\0",
        "ann\0",
        "\n",
        "ann\r\nBcc: x@example.com",
        "\u{202e}nna",
        "\u{feff}ann",
        "ａｎｎ",
        "аnn",
        "İ",
        "ß",
        "../../etc/passwd",
        "{{7*7}}",
        "${jndi:ldap://x}",
        "{user}",
        "#",
    ];
    const FILLERS: [&str; 8] = ["", "x", "'", "é", "\u{1f600}", "\t", ";", "@example.com"];
    let mut names = vec![
        format!("zq{mark}{}", "x".repeat(10_000)),
        format!("zq{mark}{}", "'".repeat(10_000)),
        format!("zq{mark}{}", "é".repeat(10_000)),
    ];
    for round in 0..4 {
        for seed in SEEDS {
            for filler in FILLERS {
                names.push(format!(
                    "{seed}{}zq{mark}{}",
                    filler.repeat(round + 1),
                    "z".repeat(round)
                ));
            }
        }
    }
    names
}

/// Counted on the wire: the names of the user who is looked up in between prove that the count sees look-ups.
#[tokio::test]
async fn a_look_up_costs_one_round_trip_and_none_from_memory() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    let proxy = Proxy::start(slapd.ldaps).await;
    let server = format!("ldaps://localhost:{}", proxy.address.port());
    for (cache, rounds) in [("0s", 20), ("1m", 0)] {
        let mut home = home_with(corp(std::slice::from_ref(&server), authority.path(), &[]));
        home.set("users.cache", cache);
        let scene = Ground::set(home).await;
        let (service, idp) = scene.serve(Machine::real()).await;
        for user in ["ann", "u5"] {
            idp.start(user).await.unwrap();
        }
        // Between two rounds of those who look after repositories, who ask as well: the fewest of some tries.
        let mut fewest = usize::MAX;
        for _ in 0..5 {
            let before = proxy.turns();
            for _ in 0..10 {
                for user in ["ann", "u5"] {
                    idp.start(user).await.unwrap();
                }
            }
            fewest = fewest.min(proxy.turns() - before);
        }
        assert_eq!(fewest, rounds, "cache = {cache}");
        service.stop().await;
    }
}

#[tokio::test]
async fn who_is_remembered_is_forgotten_on_demand() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    let mut home = home_with(corp(&[ldaps(slapd)], authority.path(), &[]));
    home.set("users.cache", "5m");
    let scene = Ground::set(home).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    let admin = service.client(&scene.admin).await;
    let filter = "(uid=u4711)";
    let before = slapd.searches(filter);
    for _ in 0..3 {
        idp.start("u4711").await.unwrap();
    }
    assert_eq!(slapd.searches(filter), before + 1);
    // Who is not there is asked for each time.
    let nobody = "(uid=nobody4711)";
    for _ in 0..3 {
        assert_eq!(refusal(&idp, "nobody4711").await.1, "USER_UNKNOWN");
    }
    assert_eq!(slapd.searches(nobody), 3);
    let flush = pb::FlushUsersRequest {
        repository: "corp".to_owned(),
    };
    let forgotten = admin.repositories.clone().flush_users(flush).await.unwrap();
    assert_eq!(forgotten.into_inner().forgotten, 1);
    idp.start("u4711").await.unwrap();
    assert_eq!(slapd.searches(filter), before + 2);
    // Who may not see users gets nothing from memory: what takes less time would tell.
    let laptop = scene
        .home
        .caller("laptop", mailfactor::domain::caller::Role::Endpoint)
        .await;
    let laptop = service.client(&laptop).await;
    laptop.start("u4711").await.unwrap();
    assert_eq!(slapd.searches(filter), before + 3);
    service.stop().await;
}
