use std::{collections::BTreeMap, fmt::Write as _};

use super::*;
use crate::domain::otp_policy::OtpPolicy;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mailfactor.toml");
    fs::write(&file, text).unwrap();
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(&file), environment)
        .map_err(|faults| faults.as_slice().iter().map(ToString::to_string).collect())
}

#[test]
fn the_default_file_is_the_default() {
    let config = Config::load(None, []).unwrap();
    assert_eq!(config.policies.default, OtpPolicy::default());
    assert!(config.policies.events.is_empty());
    assert_eq!(config.server.listen, "127.0.0.1:50051".parse().unwrap());
    assert_eq!(config.key_file, Path::new("mailfactor.keys"));
    assert_eq!(config.users.local_part, crate::domain::address::LocalPart::Ascii);
}

#[test]
fn every_key_of_the_default_is_explained_above_it() {
    let mut commented = false;
    for line in DEFAULT.lines() {
        match line.trim() {
            "" => commented = false,
            line if line.starts_with('#') => commented = true,
            line if line.starts_with('[') => {}
            // Keys that follow each other share the comment above the first.
            line => assert!(commented, "{line}"),
        }
    }
}

#[test]
fn every_fault_at_once() {
    let faults = load(
        r#"
        colour = "red"
        [server]
        listen = "0.0.0.0:1"
        refection = true
        [server.tls]
        certificate = "/nowhere/at.pem"
        [server.limits]
        streams = "many"
        connections = 0
        [policy]
        attempts = 11
        [policy.lifetime]
        login = "5 parsecs"
        [events.payroll.code]
        length = 5
        [delivery]
        wait = "1h"
        egress = ["10.0.0.0/33", 5]
        [[repository]]
        name = "staff"
        kind = "sql"
        url = "sqlite:x"
        path = "y"
        [[repository]]
        name = "staff"
        kind = "card index"
        "#,
        &[
            ("MAILFACTOR__LOG__FORMAT", "pretty"),
            ("MAILFACTOR__LOG__COLOUR", "x"),
        ],
    )
    .unwrap_err();
    let expected = [
        "colour: is unknown",
        "server.refection: is unknown; did you mean `reflection`?",
        "server.limits.streams: must be a whole number, not a text in quotes",
        "MAILFACTOR__LOG__COLOUR: is unknown",
        "server.tls.certificate: names /nowhere/at.pem, which cannot be read: entity not found",
        "server.tls.key: is required with `server.tls.certificate`",
        "server.listen: is not loopback: set `server.tls`, or allow plain text with `server.allow_plaintext`",
        "server.limits.connections: must be between 1 and 65536",
        "log.format: must be \"human\" or \"json\"",
        "policy.lifetime.login: must be a whole number and a unit, such as \"500ms\", \"30s\", \"5m\", \"1h\" or \"7d\"",
        "policy.attempts: must be between 1 and 10",
        "events.payroll.code.length: must give 6 to 10 characters and at least 19.9 bits (RFC 4226, 5.3; OWASP ASVS 5.0, 6.5.4)",
        "repository[0].path: does not go with kind \"sql\"",
        "repository[0].query: is required",
        "repository[1].kind: must be \"file\", \"sql\" or \"ldap\"",
        "delivery.wait: must be between 1s and 25s, not 1h",
        "delivery.egress[0]: must be a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", or one address",
        "delivery.egress[1]: must be a text in quotes",
    ];
    let mut missing = String::new();
    for fault in expected {
        if !faults.iter().any(|found| found == fault) {
            writeln!(missing, "missing: {fault}").unwrap();
        }
    }
    assert!(
        missing.is_empty() && faults.len() == expected.len(),
        "{missing}{faults:#?}"
    );
}

#[test]
fn the_notice_leaves_time_to_end() {
    let shutdown = |lines: &str| load(&format!("[shutdown]\n{lines}"), &[]);
    let faults = |lines: &str| shutdown(lines).unwrap_err();
    let ending = shutdown("deadline = \"1s\"\nnotice = \"500ms\"").unwrap().ending;
    assert_eq!(ending.notice * 2, ending.deadline);
    assert_eq!(
        faults("deadline = \"1s\"\nnotice = \"501ms\""),
        ["shutdown.notice: must be at most half of shutdown.deadline"]
    );
    assert_eq!(faults("notice = \"6s\"").len(), 1);
    // A deadline that makes no sense says nothing of the notice.
    let told = faults("deadline = \"soon\"");
    assert!(
        told.len() == 1 && told[0].starts_with("shutdown.deadline"),
        "{told:?}"
    );
}

#[test]
fn the_environment_goes_over_the_file() {
    let config = load(
        "[server]\nlisten = \"127.0.0.1:1\"\n[policy]\nattempts = 4",
        &[
            ("MAILFACTOR__SERVER__LISTEN", "127.0.0.1:2"),
            ("MAILFACTOR__POLICY__CODE__LENGTH", "8"),
            ("MAILFACTOR__EVENTS__VPN__ATTEMPTS", "3"),
            ("MAILFACTOR__ENUMERATION__DECOY_DOMAINS", "[\"example.org\"]"),
            ("MAILFACTOR__SERVER__REFLECTION", "true"),
            ("MAILFACTOR_LOG", "debug"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.listen.port(), 2);
    assert!(config.server.reflection);
    assert_eq!(config.decoy_domains, ["example.org"]);
    let vpn = config.policies.resolve(&BTreeMap::new(), true).0;
    let vpn = vpn.of("vpn");
    assert_eq!((vpn.attempts, vpn.code.length()), (3, 8));
    assert_eq!(config.policies.default.attempts, 4);
}

#[test]
fn an_event_overrides_only_what_it_names() {
    let config = load(
        "[events.payroll]\nattempts = 2\n[events.payroll.code]\nalphabet = \"letters\"",
        &[],
    )
    .unwrap();
    let payroll = config.policies.resolve(&BTreeMap::new(), true).0;
    let payroll = payroll.of("payroll");
    assert_eq!(payroll.attempts, 2);
    assert_eq!(payroll.code.alphabet().as_str(), "BCDFGHJKLMNPQRSTVWXZ");
    assert_eq!(payroll.login_lifetime, OtpPolicy::default().login_lifetime);
}

#[test]
fn a_fault_that_events_take_over_is_told_once() {
    let faults = load(
        "[policy]\nattempts = 11\n[events.a]\n[events.b]\nmask = \"x\"",
        &[],
    )
    .unwrap_err();
    assert_eq!(faults.len(), 2, "{faults:#?}");
    assert!(faults[0].starts_with("policy.attempts") && faults[1].starts_with("events.b.mask"));
}

#[test]
fn a_secret_comes_by_value_or_by_file_but_not_both() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("url");
    let database = directory.path().join("a.db");
    fs::write(&secret, format!("sqlite:{}\n", database.display())).unwrap();
    let url_file = format!("url_file = '{}'", secret.display());
    let config = load(&format!("[store]\n{url_file}"), &[]).unwrap();
    assert_eq!(config.store.file(), Some(&*database));
    let faults = load(&format!("[store]\nurl = \"sqlite:b.db\"\n{url_file}"), &[]).unwrap_err();
    assert_eq!(
        faults,
        ["store.url_file: contradicts `url`: set only one of the two"]
    );
}

#[test]
fn what_is_not_toml_is_told_by_line_without_the_line() {
    let faults = load("[store]\nurl = \"sqlite:top-secret\" x\n", &[]).unwrap_err();
    assert!(faults[0].contains("is not TOML, in line 2"), "{faults:?}");
    assert!(!faults[0].contains("top-secret"), "{faults:?}");
}

#[test]
fn default_credentials_are_whole_or_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("smtp");
    fs::write(&file, "x").unwrap();
    let section = |text: &str| {
        let text = text.replace("FILE", &file.display().to_string());
        load(&format!("[default_credentials]\n{text}"), &[])
    };
    assert_eq!(section("").unwrap().default_credentials, None);
    let given = section("username = 'robot-canary'\npassword_file = 'FILE'").unwrap();
    assert!(!format!("{given:?}").contains("robot-canary"));
    assert_eq!(given.default_credentials.unwrap().username, "robot-canary");
    assert!(section("username = 'a'\npassword_environment = 'MAILFACTOR_SECRET_A'").is_ok());
    for (text, field) in [
        ("username = 'a'", "password_file"),
        ("password_file = 'FILE'", "username"),
        ("username = 'a'\npassword_file = '/nowhere'", "password_file"),
        (
            "username = 'a'\npassword_environment = 'PATH'",
            "password_environment",
        ),
        (
            "username = 'a'\npassword_file = 'FILE'\npassword_environment = 'MAILFACTOR_SECRET_A'",
            "password_environment",
        ),
    ] {
        let faults = section(text).unwrap_err();
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
        assert!(
            faults[0].starts_with(&format!("default_credentials.{field}:")),
            "{faults:?}"
        );
    }
}

/// A configuration with this URL and further lines of `[store.postgres]`, and a key file.
fn on_server(url: &str, lines: &str) -> Result<Config, Vec<String>> {
    load(
        &format!("[store]\nurl = '{url}'\n[store.postgres]\n{lines}\n[keys]\nfile = 'k'"),
        &[],
    )
}

fn server(url: &str, lines: &str) -> Box<Postgres> {
    match on_server(url, lines).unwrap().store.place {
        StorePlace::Postgres(postgres) => postgres,
        StorePlace::File(_) => panic!("a file"),
    }
}

#[test]
fn a_url_says_where_the_server_is_and_whether_it_must_prove_its_name() {
    let postgres = server("postgres://otp:a%40b+c%26d=e@db.example.com/factor", "");
    let Postgres { host, port, user, .. } = &*postgres;
    assert_eq!((host, *port), (&Host::Name("db.example.com".into()), 5432));
    assert_eq!((user.as_str(), postgres.database.as_str()), ("otp", "factor"));
    assert_eq!(postgres.password.as_ref().unwrap().as_str(), "a@b+c&d=e");
    assert_eq!(postgres.name(), "postgres://db.example.com:5432/factor");
    assert!(!format!("{postgres:?}").contains("a@b"));
    let tls = |url: &str| server(url, "").tls;
    for (url, encrypted) in [
        ("postgres://a@10.0.0.1:1/b", true),
        ("postgresql://a@db/b?sslmode=verify-full", true),
        ("postgres://a@db/b?sslmode=disable", false),
        ("postgres://a@localhost/b", false),
        ("postgres://a@127.0.0.1/b", false),
        ("postgres://a@[::1]/b", false),
        ("postgres://a@[::1]/b?sslmode=verify-full", true),
        ("postgres://a@localhost/b?host=/run/postgresql", false),
    ] {
        assert_eq!(tls(url) == Encryption::Verified(None), encrypted, "{url}");
    }
    assert_eq!(server("postgres://a@[::1]/b", "").host, Host::Name("::1".into()));
    let socket = Host::Socket("/run/x".into());
    assert_eq!(server("postgres://a@%2Frun%2Fx/b", "").host, socket);
}

#[test]
fn a_servers_password_comes_from_one_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    fs::write(&file, "from-a-file\n").unwrap();
    let by_file = format!("password_file = '{}'", file.display());
    let password = |lines: &str| server("postgres://a@localhost/b", lines).password.unwrap();
    assert_eq!(password(&by_file).as_str(), "from-a-file");
    assert_eq!(password("password = 'given'").as_str(), "given");
    let faults = on_server("postgres://a:b@localhost/c", &by_file).unwrap_err();
    assert!(
        faults[0].starts_with("store.postgres.password: contradicts `store.url`"),
        "{faults:?}"
    );
}

#[test]
fn what_is_wrong_with_a_server_is_told_by_its_field() {
    let url = "store.url";
    for (address, lines, field) in [
        ("postgres://db/b", "", url),
        ("postgres://a@db", "", url),
        ("postgres://a@/b", "", url),
        ("postgres://a@db/b?sslmode=require", "", url),
        ("postgres://a@db/b?sslmode=verify-ca", "", url),
        ("postgres://a@db/b?options=-c", "", url),
        ("postgres://a@db/b?host=/x&sslmode=verify-full", "", url),
        ("postgres://a@db:port/b", "", url),
        ("mysql://a@db/b", "", url),
        (
            "postgres://a@db/b",
            "connections = 1",
            "store.postgres.connections",
        ),
        (
            "postgres://a@db/b",
            "ping_timeout = '3s'",
            "store.postgres.ping_timeout",
        ),
        ("postgres://a@db/b", "ca = '/nowhere'", "store.postgres.ca"),
        (
            "postgres://a@localhost/b",
            "ca = '/etc/hostname'",
            "store.postgres.ca",
        ),
    ] {
        let faults = on_server(address, lines).unwrap_err();
        assert_eq!(faults.len(), 1, "{address}: {faults:?}");
        assert!(
            faults[0].starts_with(&format!("{field}:")),
            "{address}: {faults:?}"
        );
    }
    let faults = load("[store]\nurl = 'postgres://a:top-secret@db/b'", &[]).unwrap_err();
    assert_eq!(
        faults,
        [
            "keys.file: is required with PostgreSQL: the same key file for every instance, made before the first start"
        ]
    );
}
