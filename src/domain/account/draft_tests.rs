use super::*;

fn draft() -> AccountDraft {
    AccountDraft {
        name: "main".into(),
        host: "smtp.example.com".into(),
        security: Some(Security::StartTls),
        sender: "noreply@example.com".into(),
        acknowledge_risks: true,
        ..AccountDraft::default()
    }
}

#[test]
fn a_port_of_zero_is_the_usual_one() {
    for security in Security::ALL {
        let settings = AccountDraft {
            security: Some(security),
            ..draft()
        }
        .check("", LocalPart::Ascii)
        .unwrap();
        assert_eq!(settings.server.port, security.usual_port());
    }
}

#[test]
fn every_fault_is_named_at_once() {
    let bad = AccountDraft {
        name: "a\nb".into(),
        host: "https://x".into(),
        port: 70_000,
        security: None,
        authentication: true,
        sender: "x@localhost".into(),
        display_name: "a\r\nBcc: x".into(),
        reply_to: "?".into(),
        ..draft()
    };
    let faults = bad.check("account.", LocalPart::Ascii).unwrap_err();
    let fields: Vec<&str> = faults
        .as_slice()
        .iter()
        .map(|fault| fault.field.as_str())
        .collect();
    let expected = [
        "name",
        "host",
        "security",
        "port",
        "sender",
        "display_name",
        "reply_to",
        "username",
        "secret",
    ];
    assert_eq!(fields, expected.map(|name| format!("account.{name}")));
}

#[test]
fn hosts_are_names_or_addresses() {
    for (given, kept) in [
        ("[::1]", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("Mail.Example.COM", "mail.example.com"),
    ] {
        assert_eq!(check_host(given).as_deref(), Ok(kept));
    }
    for bad in [
        "",
        "a b",
        "smtp.example.com:25",
        "-x",
        "smtp..example.com",
        "x\0y",
    ] {
        assert!(check_host(bad).is_err(), "{bad:?}");
    }
}

fn faulty(draft: AccountDraft) -> Vec<String> {
    let faults = draft.check("", LocalPart::Ascii).unwrap_err();
    let fields = faults.as_slice().iter().map(|fault| fault.field.clone());
    fields.collect()
}

fn gmail() -> AccountDraft {
    AccountDraft {
        preset: "gmail".into(),
        host: String::new(),
        security: None,
        authentication: true,
        username: "ann@gmail.com".into(),
        secret: Some(Secret::Environment("MAILFACTOR_SECRET_X".into())),
        sender: "ann@gmail.com".into(),
        ..draft()
    }
}

#[test]
fn a_preset_says_the_server_and_bears_no_other() {
    let server = gmail().check("", LocalPart::Ascii).unwrap().server;
    assert_eq!(
        (server.host.as_str(), server.port, server.security),
        ("smtp.gmail.com", 465, Security::ImplicitTls)
    );
    let starttls = AccountDraft {
        security: Some(Security::StartTls),
        ..gmail()
    };
    assert_eq!(starttls.check("", LocalPart::Ascii).unwrap().server.port, 587);
    let host = AccountDraft {
        host: "smtp.example.com".into(),
        ..gmail()
    };
    assert_eq!(faulty(host), ["host"]);
    let port = AccountDraft { port: 25, ..gmail() };
    assert_eq!(faulty(port), ["port"]);
    let plain = AccountDraft {
        security: Some(Security::Plain),
        ..gmail()
    };
    assert_eq!(faulty(plain), ["security"]);
    let open = AccountDraft {
        authentication: false,
        ..gmail()
    };
    assert_eq!(faulty(open), ["authentication"]);
    let stranger = AccountDraft {
        preset: "qq".into(),
        ..gmail()
    };
    assert_eq!(faulty(stranger), ["sender"]);
}

#[test]
fn risks_are_run_only_knowingly_and_none_on_the_own_machine() {
    let plain = |host: &str| AccountDraft {
        host: host.into(),
        security: Some(Security::Plain),
        acknowledge_risks: false,
        ..draft()
    };
    assert_eq!(faulty(plain("relay.example.com")), ["acknowledge_risks"]);
    for host in ["localhost", "127.0.0.1", "::1"] {
        let settings = plain(host).check("", LocalPart::Ascii).unwrap();
        assert_eq!(settings.warnings(), Vec::<String>::new());
    }
    let blind = AccountDraft {
        ignore_certificate_errors: true,
        acknowledge_risks: false,
        ..draft()
    };
    assert_eq!(faulty(blind), ["acknowledge_risks"]);
}

#[test]
fn connections_are_named_and_bounded() {
    let hello = |name: &str| AccountDraft {
        hello_name: name.into(),
        ..draft()
    };
    for (given, kept) in [
        ("mail.example.com", "mail.example.com"),
        ("192.0.2.1", "[192.0.2.1]"),
        ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
    ] {
        let link = hello(given).check("", LocalPart::Ascii).unwrap().link;
        assert_eq!(link.hello_name.as_deref(), Some(kept));
    }
    let bad = AccountDraft {
        hello_name: "a\r\nQUIT".into(),
        server_name: "a b".into(),
        ca_certificates: "no PEM".into(),
        timeout: Some(Duration::from_millis(10)),
        order: 1001,
        footnote: "a\u{202e}b".into(),
        ..draft()
    };
    let expected = [
        "order",
        "footnote",
        "hello_name",
        "server_name",
        "ca_certificates",
        "timeout",
    ];
    assert_eq!(faulty(bad), expected);
    let key = AccountDraft {
        ca_certificates: "-----BEGIN PRIVATE KEY-----".into(),
        ..draft()
    };
    assert_eq!(faulty(key), ["ca_certificates"]);
}
