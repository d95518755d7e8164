//! The way to a server: address, TLS, API key.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{Failure, secret};
use crate::pb::v1::{
    email_otp_authenticator_client::EmailOtpAuthenticatorClient, mail_audit_client::MailAuditClient,
    mail_inbox_client::MailInboxClient, mail_outbox_client::MailOutboxClient,
    mail_sender_policy_client::MailSenderPolicyClient, user_repositories_client::UserRepositoriesClient,
};

/// Where a server is unless told otherwise.
pub(super) const USUAL: &str = "http://127.0.0.1:50051";

/// Which server, and who is calling.
#[derive(Debug, Args)]
pub(super) struct ClientArguments {
    /// The server: `http://` or, with TLS, `https://`.
    #[arg(long, global = true, env = "MAILFACTOR_SERVER", default_value = USUAL, value_name = "URL", help_heading = "Server")]
    server: String,
    /// The file that holds the API key; or set `MAILFACTOR_API_KEY`.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    api_key_file: Option<PathBuf>,
    /// The API key. Others on this machine see arguments: prefer the variable or the file.
    #[arg(
        long,
        global = true,
        env = "MAILFACTOR_API_KEY",
        hide_env_values = true,
        value_name = "KEY",
        help_heading = "Server"
    )]
    api_key: Option<secret::Hidden>,
    #[command(flatten)]
    tls: TlsArguments,
    /// How many seconds an answer may take.
    #[arg(
        long,
        global = true,
        default_value_t = 40,
        value_name = "SECONDS",
        help_heading = "Server"
    )]
    timeout: u64,
}

/// How a server with TLS is trusted.
#[derive(Debug, Default, Args)]
pub(super) struct TlsArguments {
    /// The CA of the server's certificate, PEM. Without it, the system's.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    ca: Option<PathBuf>,
    /// The caller's own certificate chain, PEM, instead of an API key.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        requires = "client_key",
        help_heading = "Server"
    )]
    client_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        requires = "client_cert",
        help_heading = "Server"
    )]
    client_key: Option<PathBuf>,
}

/// A connection that names the caller.
pub(super) type Called = InterceptedService<Channel, Credentials>;

/// Puts the API key on every call.
#[derive(Clone)]
pub(super) struct Credentials(Option<MetadataValue<Ascii>>);

impl Credentials {
    /// From an API key.
    pub(super) fn key(key: &str) -> Result<Self, Failure> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {key}")
            .parse()
            .map_err(|_| Failure::say("the API key has characters that no API key has"))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A server's services, as one caller.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) challenges: EmailOtpAuthenticatorClient<Called>,
    pub(super) policy: MailSenderPolicyClient<Called>,
    pub(super) outbox: MailOutboxClient<Called>,
    pub(super) audit: MailAuditClient<Called>,
    pub(super) inbox: MailInboxClient<Called>,
    pub(super) repositories: UserRepositoriesClient<Called>,
}

impl Client {
    /// Over a connection, as a caller.
    pub(super) fn new(channel: &Channel, credentials: &Credentials) -> Self {
        let (channel, credentials) = (|| channel.clone(), || credentials.clone());
        Self {
            challenges: EmailOtpAuthenticatorClient::with_interceptor(channel(), credentials()),
            policy: MailSenderPolicyClient::with_interceptor(channel(), credentials()),
            outbox: MailOutboxClient::with_interceptor(channel(), credentials()),
            audit: MailAuditClient::with_interceptor(channel(), credentials()),
            inbox: MailInboxClient::with_interceptor(channel(), credentials()),
            repositories: UserRepositoriesClient::with_interceptor(channel(), credentials()),
        }
    }
}

impl ClientArguments {
    /// Connects; each answer has a deadline.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        self.open(Some(Duration::from_secs(self.timeout))).await
    }

    /// Connects for an answer that goes on for as long as there is news.
    pub(super) async fn connect_stream(&self) -> Result<Client, Failure> {
        self.open(None).await
    }

    async fn open(&self, answer: Option<Duration>) -> Result<Client, Failure> {
        let credentials = match (&self.api_key_file, &self.api_key) {
            (Some(path), _) => Credentials::key(&secret::from_file(path)?)?,
            (None, Some(key)) => Credentials::key(key.reveal())?,
            (None, None) if self.tls.client_cert.is_some() => Credentials(None),
            (None, None) => {
                return Err(Failure::advise(
                    "no API key was given",
                    "make one with `mailfactor caller add NAME --role admin` on the server, \
                     then set MAILFACTOR_API_KEY or give --api-key-file",
                ));
            }
        };
        let channel = connect(&self.server, &self.tls, Duration::from_secs(self.timeout), answer).await?;
        Ok(Client::new(&channel, &credentials))
    }
}

/// Connects to a server within `timeout`; each answer may take as long as `answer`.
pub(super) async fn connect(
    server: &str,
    tls: &TlsArguments,
    timeout: Duration,
    answer: Option<Duration>,
) -> Result<Channel, Failure> {
    let url = if server.contains("://") {
        server.to_owned()
    } else {
        format!("http://{server}")
    };
    let with_tls = url.starts_with("https://");
    let wrong = |_| {
        Failure::advise(
            format!("{server} is no address of a server"),
            format!("write it like {USUAL}"),
        )
    };
    let mut endpoint = Endpoint::from_shared(url)
        .map_err(wrong)?
        .connect_timeout(timeout);
    if let Some(answer) = answer {
        endpoint = endpoint.timeout(answer);
    }
    if with_tls {
        endpoint = endpoint
            .tls_config(tls.settings()?)
            .map_err(|error| Failure::of(&error))?;
    } else if tls.ca.is_some() || tls.client_cert.is_some() {
        return Err(Failure::say("--ca and --client-cert need a server with https://"));
    }
    endpoint.connect().await.map_err(|error| {
        let Failure::Failed { what, .. } = Failure::of(&error) else {
            return Failure::Told;
        };
        Failure::advise(
            format!("cannot connect to {server}: {what}"),
            "is `mailfactor serve` running there? See --server, and --ca for a server with TLS",
        )
    })
}

impl TlsArguments {
    fn settings(&self) -> Result<ClientTlsConfig, Failure> {
        let mut settings = ClientTlsConfig::new();
        settings = match &self.ca {
            Some(path) => settings.ca_certificate(Certificate::from_pem(read(path)?)),
            None => settings.ca_certificates(system_certificates()),
        };
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            settings = settings.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(settings)
    }
}

/// The system's CA certificates.
fn system_certificates() -> Vec<Certificate> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let found = rustls_native_certs::load_native_certs();
    let pem = |der: &[u8]| {
        let text = STANDARD.encode(der);
        Certificate::from_pem(format!(
            "-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"
        ))
    };
    found.certs.iter().map(|certificate| pem(certificate)).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::say(format!("{} cannot be read: {error}", path.display())))
}
