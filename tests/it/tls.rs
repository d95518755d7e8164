//! gRPC over TLS: callers by certificate, strangers, and plain text where TLS is spoken.

use std::{fs, time::Duration};

use mailfactor::{
    app::Machine,
    domain::caller::Role,
    pb::v1::{self as pb, mail_sender_policy_client::MailSenderPolicyClient},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tonic::{
    Code,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::harness::{
    certs::{Authority, Issued, Kind},
    command::{Ran, mailfactor},
    service::{Home, Service},
};

struct Scene {
    authority: Authority,
    home: Home,
    service: Service,
    known: Issued,
}

impl Scene {
    async fn set() -> Self {
        Self::set_with(Kind::Good).await
    }

    async fn set_with(kind: Kind) -> Self {
        let authority = Authority::new();
        let server = authority.issue(kind);
        let home = Home::new();
        let file = |name: &str| home.path(name).display().to_string();
        fs::write(home.path("server.pem"), &server.certificate).unwrap();
        fs::write(home.path("server.key"), &server.key).unwrap();
        fs::write(home.path("clients.pem"), authority.pem()).unwrap();
        let (certificate, key, client_ca) = (file("server.pem"), file("server.key"), file("clients.pem"));
        let home = home
            .with("server.tls.certificate", certificate)
            .with("server.tls.key", key)
            .with("server.tls.client_ca", client_ca);
        let known = authority.issue_client("ops.example.org");
        let der = CertificateDer::from_pem_slice(known.certificate.as_bytes()).unwrap();
        home.certified_caller("ops", Role::Admin, &der).await;
        let service = home.serve(Machine::real()).await;
        Self {
            authority,
            home,
            service,
            known,
        }
    }

    async fn connect(&self, client: Option<&Issued>) -> Result<Channel, tonic::transport::Error> {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.authority.pem()));
        if let Some(client) = client {
            tls = tls.identity(Identity::from_pem(&client.certificate, &client.key));
        }
        Endpoint::from_shared(self.url())?
            .tls_config(tls)?
            .timeout(Duration::from_secs(30))
            .connect()
            .await
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.service.grpc.port())
    }

    /// Writes a file of the home and gives its path.
    fn file(&self, name: &str, contents: &str) -> String {
        let path = self.home.path(name);
        fs::write(&path, contents).unwrap();
        path.display().to_string()
    }

    /// Runs a command of a client against the server.
    async fn run(&self, line: &str) -> Ran {
        mailfactor(&format!("{line} --server {}", self.url()), &[], "").await
    }

    async fn list(&self, client: Option<&Issued>) -> Result<usize, Code> {
        let channel = self.connect(client).await.map_err(|_| Code::Unknown)?;
        let mut policy = MailSenderPolicyClient::new(channel);
        let answer = policy.list_accounts(pb::ListAccountsRequest {}).await;
        answer
            .map(|answer| answer.into_inner().accounts.len())
            .map_err(|status| status.code())
    }
}

#[tokio::test]
async fn a_certificate_names_its_caller_and_others_are_strangers() {
    let scene = Scene::set().await;
    assert_eq!(scene.list(Some(&scene.known)).await, Ok(0));
    // Of the same CA, and known to nobody.
    let stranger = scene.authority.issue_client("stranger.example.org");
    assert_eq!(scene.list(Some(&stranger)).await, Err(Code::Unauthenticated));
    assert_eq!(scene.list(None).await, Err(Code::Unauthenticated));
    // Of another CA: the handshake fails.
    let foreign = Authority::new().issue_client("ops.example.org");
    assert!(!matches!(
        scene.list(Some(&foreign)).await,
        Ok(_) | Err(Code::Unauthenticated)
    ));
    scene.service.stop().await;
    drop(scene.home);
}

#[tokio::test]
async fn plain_text_gets_no_answer_where_tls_is_spoken() {
    let scene = Scene::set().await;
    assert_eq!(crate::harness::client::health(scene.service.grpc, "").await, None);
    scene.service.stop().await;
    drop(scene.home);
}

#[tokio::test]
async fn commands_call_over_tls_by_certificate_and_by_key() {
    let scene = Scene::set().await;
    let ca = scene.file("ca.pem", scene.authority.pem());
    let certificate = scene.file("ops.pem", &scene.known.certificate);
    let key = scene.file("ops.key", &scene.known.key);
    let health = scene.run(&format!("health --ca {ca}")).await.done();
    assert_eq!(health.trim(), "SERVING");
    let by_certificate =
        format!("account list --json --ca {ca} --client-cert {certificate} --client-key {key}");
    assert_eq!(scene.run(&by_certificate).await.json(), serde_json::json!([]));
    let auditor = scene.home.caller("auditor", Role::Auditor).await;
    let api_key = scene.file("auditor.key", &auditor);
    let by_key = format!("account list --json --ca {ca} --api-key-file {api_key}");
    assert_eq!(scene.run(&by_key).await.json(), serde_json::json!([]));
    // A key decides, whatever certificate comes with it.
    let both = format!("{by_certificate} --api-key mf_none");
    let err = scene.run(&both).await.failed(1);
    assert!(err.contains("CALLER_UNKNOWN"), "{err}");

    // Without the CA, and with another one, nothing is sent.
    let other = scene.file("other.pem", Authority::new().pem());
    for line in [
        "health".to_owned(),
        format!("health --ca {other}"),
        format!("health --ca {key}"),
    ] {
        let err = scene.run(&line).await.failed(1);
        assert!(
            err.contains("cannot connect") || err.contains("--ca"),
            "{line}: {err}"
        );
        assert!(!err.contains("panicked"), "{err}");
    }
    let missing = scene.run("health --ca /nonexistent.pem").await.failed(1);
    assert!(missing.contains("/nonexistent.pem"), "{missing}");
    scene.service.stop().await;
    drop(scene.home);
}

#[tokio::test]
async fn a_server_whose_certificate_is_no_good_is_not_believed() {
    for kind in [Kind::Expired, Kind::WrongName] {
        let scene = Scene::set_with(kind).await;
        let ca = scene.file("ca.pem", scene.authority.pem());
        assert!(scene.connect(Some(&scene.known)).await.is_err(), "{kind:?}");
        let err = scene.run(&format!("health --ca {ca}")).await.failed(1);
        assert!(err.contains("cannot connect"), "{kind:?}: {err}");
        scene.service.stop().await;
        drop(scene.home);
    }
}
