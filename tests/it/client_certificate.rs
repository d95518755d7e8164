//! Mail servers that ask for a certificate: shown with the account's, refused without and with a stranger's.

use std::{fs, sync::Arc};

use mailfactor::{
    domain::{account::Security, caller::Role},
    pb::v1::{
        self as pb, ConnectionSecurity, Stage, account_secret::Source, test_connection_request::Target,
    },
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::harness::{
    certs::{Authority, Issued, Kind},
    client::Client,
    command::mailfactor,
    process::Process,
    scene::{start, waiting},
    service::{Home, find_in_files},
    smtp::{Options, SmtpServer},
};

/// A mail server that takes only clients of `authority`.
async fn asking(authority: &Authority, security: Security) -> SmtpServer {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let issued = authority.issue(Kind::Good);
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            chain,
            PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap(),
        )
        .unwrap();
    SmtpServer::start(Options {
        security,
        tls: Some(Arc::new(config)),
        ..Options::default()
    })
    .await
}

struct Office {
    authority: Authority,
    process: Process,
    admin: Client,
    home: Home,
}

impl Office {
    async fn open() -> Self {
        let mut home = Home::new();
        let secrets = home.path("secrets");
        fs::create_dir(&secrets).unwrap();
        home.set("secrets.directories", vec![secrets.display().to_string()]);
        home.users(&[("ann", "ann@example.com")]);
        let process = home.spawn_with(&[("MAILFACTOR_LOG", "trace")]).await;
        let admin = process.client(&home.caller("ops", Role::Admin).await).await;
        Self {
            authority: Authority::new(),
            process,
            admin,
            home,
        }
    }

    /// An account at a server, which believes it and shows nothing.
    fn account(&self, server: &SmtpServer, security: ConnectionSecurity) -> pb::Account {
        pb::Account {
            name: "main".into(),
            enabled: true,
            host: "127.0.0.1".into(),
            port: server.address.port().into(),
            security: security.into(),
            sender: "login@example.org".into(),
            ca_certificates: self.authority.pem().to_owned(),
            ..pb::Account::default()
        }
    }

    async fn create(&self, account: pb::Account) -> Result<pb::Account, Status> {
        let request = pb::CreateAccountRequest {
            account: Some(account),
        };
        let answer = self.admin.policy.clone().create_account(request).await?;
        Ok(answer.into_inner().account.unwrap())
    }

    async fn update(&self, account: &pb::Account, paths: &[&str]) -> Result<pb::Account, Status> {
        let request = pb::UpdateAccountRequest {
            account: Some(account.clone()),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            }),
        };
        let answer = self.admin.policy.clone().update_account(request).await?;
        Ok(answer.into_inner().account.unwrap())
    }

    /// Where a test of the account ends, whether well, and what was said there.
    async fn test(&self, target: Target) -> (Stage, bool, String) {
        let request = pb::TestConnectionRequest {
            target: Some(target),
            recipient: String::new(),
        };
        let report = self.admin.policy.clone().test_connection(request).await.unwrap();
        let report = report.into_inner();
        let last = report.stages.last().unwrap();
        let again = report
            .stages
            .iter()
            .filter(|stage| stage.stage == last.stage)
            .count();
        assert_eq!(again, 1, "{report:?}");
        (last.stage(), report.succeeded, last.reply.clone())
    }

    async fn test_saved(&self) -> (Stage, bool, String) {
        self.test(Target::Account("main".into())).await
    }
}

fn pem(key: &str) -> Option<pb::AccountSecret> {
    Some(pb::AccountSecret {
        source: Some(Source::Password(key.to_owned())),
    })
}

fn show(account: &mut pb::Account, issued: &Issued) {
    account.client_certificate = issued.certificate.clone();
    account.client_key = pem(&issued.key);
}

const BOTH: &[&str] = &["client_certificate", "client_key"];

fn fields<T: std::fmt::Debug>(result: Result<T, Status>) -> Vec<String> {
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let bad = status.get_details_bad_request().unwrap().field_violations;
    bad.into_iter().map(|fault| fault.field).collect()
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_is_shown_the_accounts_and_takes_no_other() {
    let office = Office::open().await;
    let server = asking(&office.authority, Security::ImplicitTls).await;
    let account = office.account(&server, ConnectionSecurity::ImplicitTls);
    let mut account = office.create(account).await.unwrap();
    let (stage, succeeded, reply) = office.test_saved().await;
    assert_eq!((stage, succeeded), (Stage::Tls, false), "{reply}");
    assert!(reply.contains("client_certificate"), "{reply}");
    // Another authority's.
    show(&mut account, &Authority::new().issue_client("mailer"));
    let mut account = office.update(&account, BOTH).await.unwrap();
    let (stage, succeeded, reply) = office.test_saved().await;
    assert_eq!((stage, succeeded), (Stage::Tls, false), "{reply}");
    assert!(reply.contains("client certificate"), "{reply}");
    // Its own.
    let issued = office.authority.issue_client("mailer");
    show(&mut account, &issued);
    let account = office.update(&account, BOTH).await.unwrap();
    assert_eq!(account.client_certificate, issued.certificate);
    assert_eq!(
        account.client_key.as_ref().unwrap().source,
        Some(Source::Sealed(true))
    );
    let (stage, succeeded, reply) = office.test_saved().await;
    assert_eq!((stage, succeeded), (Stage::Reset, true), "{reply}");
    let idp = office.home.caller("idp", Role::Authenticator).await;
    let idp = office.process.client(&idp).await;
    start(&idp, waiting("ann")).await.unwrap();
    assert_eq!(server.wait_for_mails(1).await.len(), 1);
    // Unsaved settings use the saved key, at the saved host alone.
    let unsaved = pb::Account {
        client_key: None,
        ..account.clone()
    };
    let (_, succeeded, reply) = office.test(Target::Settings(unsaved)).await;
    assert!(succeeded, "{reply}");
    // A new key under an old name: sealed anew, it still opens.
    let line = format!("--config {} keys rotate --json", office.home.write().display());
    let rotated = mailfactor(&line, &[], "").await.json();
    assert_eq!(rotated["lost"], 0, "{rotated}");
    // The client's key and the mail, and what the challenge keeps.
    assert_eq!(rotated["resealed"], 3, "{rotated}");
    let (_, succeeded, reply) = office.test_saved().await;
    assert!(succeeded, "{reply}");
    // The key is nowhere: neither its text nor a line of it.
    let line = issued.key.lines().nth(1).unwrap();
    assert!(!format!("{account:?}").contains(line));
    assert!(!office.process.log().contains(line));
    assert_eq!(find_in_files(office.home.path("").as_path(), &[line]), None);
    // Taken away, it takes the key along.
    let none = pb::Account {
        client_certificate: String::new(),
        ..account
    };
    let account = office.update(&none, &["client_certificate"]).await.unwrap();
    assert_eq!(account.client_key, None);
    assert_eq!(office.test_saved().await.0, Stage::Tls);
    office.process.stop().await;
}

#[tokio::test]
async fn the_certificate_is_shown_after_starttls_and_its_key_may_lie_in_a_file_or_come_from_one() {
    let office = Office::open().await;
    let server = asking(&office.authority, Security::StartTls).await;
    let issued = office.authority.issue_client("mailer");
    let account = office.account(&server, ConnectionSecurity::Starttls);
    office.create(account).await.unwrap();
    let (certificate, key) = (
        office.home.path("client.pem"),
        office.home.path("secrets/client.key"),
    );
    fs::write(&certificate, &issued.certificate).unwrap();
    fs::write(&key, &issued.key).unwrap();
    let line = format!(
        "account update main --json --smtp-certificate {} --smtp-key-secret-file {}",
        certificate.display(),
        key.display()
    );
    let (address, api_key) = (
        format!("http://{}", office.process.grpc),
        office.home.caller("cli", Role::Admin).await,
    );
    let variables = [
        ("MAILFACTOR_SERVER", address.as_str()),
        ("MAILFACTOR_API_KEY", api_key.as_str()),
    ];
    let shown = mailfactor(&line, &variables, "").await.json();
    assert_eq!(shown["client_key"], format!("file {}", key.display()));
    let (stage, succeeded, reply) = office.test_saved().await;
    assert_eq!((stage, succeeded), (Stage::Reset, true), "{reply}");
    let line = format!("account update main --json --smtp-key {}", key.display());
    let shown = mailfactor(&line, &variables, "").await.json();
    assert_eq!(shown["client_key"], "set");
    fs::remove_file(&key).unwrap();
    assert!(office.test_saved().await.1);
    office.process.stop().await;
}

#[tokio::test]
async fn a_certificate_and_its_key_belong_together() {
    let office = Office::open().await;
    let server = asking(&office.authority, Security::ImplicitTls).await;
    let account = office.account(&server, ConnectionSecurity::ImplicitTls);
    let (first, second) = (
        office.authority.issue_client("a"),
        office.authority.issue_client("b"),
    );
    let with = |certificate: &str, key: Option<&str>| pb::Account {
        client_certificate: certificate.to_owned(),
        client_key: key.and_then(pem),
        ..account.clone()
    };
    for (bad, field) in [
        (with(&first.certificate, Some(&second.key)), "account.client_key"),
        (with(&first.certificate, Some("no key")), "account.client_key"),
        (with(&first.certificate, Some("")), "account.client_key"),
        (with(&first.certificate, None), "account.client_key"),
        (with("", Some(&first.key)), "account.client_certificate"),
        (
            with("no certificate", Some(&first.key)),
            "account.client_certificate",
        ),
        (with(&first.key, Some(&first.key)), "account.client_certificate"),
        (
            pb::Account {
                security: ConnectionSecurity::None.into(),
                ..with(&first.certificate, Some(&first.key))
            },
            "account.client_certificate",
        ),
    ] {
        assert_eq!(fields(office.create(bad).await), [field]);
    }
    let saved = office
        .create(with(&first.certificate, Some(&first.key)))
        .await
        .unwrap();
    // A kept key must fit as well, and stays with its server.
    let renewed = pb::Account {
        client_certificate: second.certificate.clone(),
        ..saved.clone()
    };
    let refused = office.update(&renewed, &["client_certificate"]).await;
    assert_eq!(fields(refused), ["account.client_key"]);
    let moved = pb::Account {
        host: "localhost".into(),
        ..saved.clone()
    };
    for mask in [&["host"][..], &[]] {
        assert_eq!(fields(office.update(&moved, mask).await), ["account.client_key"]);
    }
    let refused = office.update(&saved, &["client_key"]).await;
    assert_eq!(fields(refused), ["account.client_key"]);
    // Everything else may change around it.
    let renamed = pb::Account {
        name: "other".into(),
        ..saved
    };
    let kept = office.update(&renamed, &[]).await.unwrap();
    assert_eq!(kept.client_key.unwrap().source, Some(Source::Sealed(true)));
    office.process.stop().await;
}
