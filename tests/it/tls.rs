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
        let authority = Authority::new();
        let server = authority.issue(Kind::Good);
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
        Endpoint::from_shared(format!("https://localhost:{}", self.service.grpc.port()))?
            .tls_config(tls)?
            .timeout(Duration::from_secs(30))
            .connect()
            .await
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
