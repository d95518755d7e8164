//! The repository against a server that says what a test tells it to. What a real one does is in `tests/it`.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use zeroize::Zeroizing;

use super::*;

const BOUND: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";

fn settings(server: SocketAddr) -> LdapRepositorySettings {
    LdapRepositorySettings {
        name: "corp".into(),
        servers: vec![LdapServer::parse(&format!("ldap://{server}"), Protection::Plain).unwrap()],
        authorities: None,
        server_name: None,
        login: Login {
            name: String::new(),
            password: Zeroizing::new(String::new()),
        },
        base: "dc=example".into(),
        scope: Scope::Sub,
        filter: "(uid={user})".into(),
        attributes: LdapAttributes {
            id: "entryUUID".into(),
            emails: vec!["mail".into(), "proxyAddresses".into()],
            display_name: Some("cn".into()),
            locale: Some("preferredLanguage".into()),
            groups: "memberOf".into(),
        },
        groups: vec![],
        nested_groups: false,
        referral_hosts: vec![],
        decoy: None,
        timeout: Duration::from_millis(500),
        connections: 2,
        local_part: LocalPart::Ascii,
    }
}

/// The answer to one look-up by a server that answers the first request with these bytes, then says nothing more.
async fn answered_with(bytes: &[u8]) -> Result<Found, RepositoryError> {
    answered(bytes, Protection::Plain).await
}

async fn answered(bytes: &[u8], protection: Protection) -> Result<Found, RepositoryError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(listener.local_addr().unwrap());
    settings.servers[0].protection = protection;
    let repository = LdapRepository::connect(settings).unwrap();
    let user = UserName::parse("ann").unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await.unwrap();
        let _ = stream.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        found = repository.find(&user) => found,
        () = serve => unreachable!(),
    }
}

fn message(operation: &[u8]) -> Vec<u8> {
    let mut writer = ber::Writer::default();
    let mut inner = vec![2, 1, 1];
    inner.extend_from_slice(operation);
    writer.octets(ber::SEQUENCE, &inner);
    writer.into_bytes()
}

fn entry(attributes: &[(&str, &[&str])]) -> Vec<u8> {
    let mut writer = ber::Writer::default();
    writer.constructed(0x64, |to| {
        to.octets(ber::OCTETS, b"uid=ann,dc=example");
        to.constructed(ber::SEQUENCE, |to| {
            for (name, values) in attributes {
                to.constructed(ber::SEQUENCE, |to| {
                    to.octets(ber::OCTETS, name.as_bytes());
                    to.constructed(ber::SET, |to| {
                        for value in *values {
                            to.octets(ber::OCTETS, value.as_bytes());
                        }
                    });
                });
            }
        });
    });
    message(&writer.into_bytes())
}

fn done(code: u8) -> Vec<u8> {
    message(&[0x65, 7, 0x0a, 1, code, 4, 0, 4, 0])
}

#[tokio::test]
async fn an_entry_is_a_user() {
    let bytes = [
        entry(&[
            ("MAIL", &["not one", "Ann@Example.com", "ann2@example.com"]),
            ("cn;lang-de", &["Ann Example"]),
            ("preferredLanguage", &["de-CH, de;q=0.8"]),
            ("entryUUID", &["b4a1-1"]),
        ]),
        done(0),
    ]
    .concat();
    let Found::User(user) = answered_with(&bytes).await.unwrap() else {
        panic!()
    };
    assert_eq!(user.address.as_str(), "Ann@example.com");
    assert_eq!(user.display_name.as_deref(), Some("Ann Example"));
    assert_eq!(user.locale.as_deref(), Some("de-CH"));
    assert_eq!((user.id.as_str(), user.repository.as_str()), ("b4a1-1", "corp"));
    assert_eq!(user.proof.as_str(), Some("uid=ann,dc=example"));
}

#[tokio::test]
async fn of_proxy_addresses_the_primary_one_counts() {
    let values: &[&str] = &["smtp:other@example.com", "X500:/o=x", "SMTP:ann@example.com"];
    let bytes = [entry(&[("proxyAddresses", values)]), done(0)].concat();
    let Found::User(user) = answered_with(&bytes).await.unwrap() else {
        panic!()
    };
    assert_eq!(user.address.as_str(), "ann@example.com");
    assert_eq!(
        user.id, "uid=ann,dc=example",
        "without an identifier, the entry's name"
    );
    let bytes = [entry(&[("proxyAddresses", &["smtp:other@example.com"])]), done(0)].concat();
    assert_eq!(answered_with(&bytes).await.unwrap(), Found::NoAddress);
}

#[tokio::test]
async fn two_are_too_many_and_limits_are_no_answer() {
    let two = [entry(&[]), entry(&[])].concat();
    assert_eq!(
        answered_with(&[two.clone(), done(0)].concat()).await.unwrap(),
        Found::Ambiguous
    );
    assert_eq!(
        answered_with(&[two, done(4)].concat()).await.unwrap(),
        Found::Ambiguous
    );
    assert_eq!(answered_with(&done(0)).await.unwrap(), Found::Unknown);
    // A server that gives one entry and says that there are more; or none, for whatever reason.
    assert!(answered_with(&[entry(&[]), done(4)].concat()).await.is_err());
    for code in [1, 3, 10, 32, 50, 51, 52, 80] {
        assert!(answered_with(&done(code)).await.is_err(), "{code}");
    }
}

#[tokio::test]
async fn what_is_not_ldap_is_no_answer() {
    let endless = [&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff][..], &vec![7; 100_000]].concat();
    let many = [entry(&[]).repeat(1_000), done(0)].concat();
    let cases: [&[u8]; 9] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"220 mail.example.com ESMTP\r\n",
        b"\x30\x80\x00\x00",
        b"\x30\x03\x02\x01\x01",
        b"\x30\x05\x02\x01\x01\x64\x00",
        b"\x15\x03\x01\x00\x02\x02\x46",
        BOUND,
        &endless,
        &many,
    ];
    for bytes in cases {
        let answer = answered_with(bytes).await;
        assert!(
            matches!(answer, Err(RepositoryError::Unavailable { .. })),
            "{answer:?}"
        );
    }
    assert!(matches!(
        answered_with(b"\x30").await,
        Err(RepositoryError::Timeout { .. })
    ));
}

/// Somebody in between may say yes to StartTLS and, with it, what the server is to be believed to say afterwards.
#[tokio::test]
async fn what_comes_before_tls_is_not_believed() {
    let yes = message(&[0x78, 7, 0x0a, 1, 0, 4, 0, 4, 0]);
    let no = message(&[0x78, 7, 0x0a, 1, 52, 4, 0, 4, 0]);
    let forged = [entry(&[("mail", &["eve@example.com"])]), done(0)].concat();
    for (bytes, told) in [
        ([yes.clone(), forged.clone()].concat(), "before TLS"),
        ([yes, b"\x30".to_vec()].concat(), "before TLS"),
        (no, "refused"),
        (forged, "something else"),
    ] {
        let Err(RepositoryError::Unavailable { source, .. }) = answered(&bytes, Protection::StartTls).await
        else {
            panic!("{told}")
        };
        assert!(source.to_string().contains(told), "{source}");
    }
}

#[test]
fn settings_are_checked() {
    let server: SocketAddr = "127.0.0.1:389".parse().unwrap();
    let fields = |change: fn(&mut LdapRepositorySettings)| {
        let mut settings = settings(server);
        change(&mut settings);
        let faults = LdapRepository::connect(settings).err().unwrap();
        faults
            .as_slice()
            .iter()
            .map(|fault| fault.field.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        fields(|settings| settings.filter = "(uid=ann)".into()),
        ["filter"]
    );
    assert_eq!(fields(|settings| settings.servers.clear()), ["servers"]);
    assert_eq!(
        fields(|settings| settings.attributes.id = "a b".into()),
        ["attributes"]
    );
    assert_eq!(
        fields(|settings| settings.authorities = Some("/nowhere".into())),
        ["ca"]
    );
}
