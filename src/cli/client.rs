//! The connection of those commands that are clients of a running server.

use std::{fmt::Write as _, fs, path::PathBuf, time::Duration};

use clap::Args;
use tonic::{
    Code, Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_types::StatusExt as _;
use zeroize::Zeroizing;

use super::out::CliError;

/// Which server, and as whom.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// The server: `http://host:port` in the clear, `https://host:port` with TLS
    #[arg(
        long,
        env = "MAILFACTOR_SERVER",
        default_value = "http://127.0.0.1:50051",
        value_name = "URL"
    )]
    server: String,
    /// The API key. Better in the environment or a file than on the command line, where others see it
    #[arg(long, env = "MAILFACTOR_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<String>,
    /// A file with the API key
    #[arg(
        long,
        env = "MAILFACTOR_API_KEY_FILE",
        value_name = "FILE",
        conflicts_with = "api_key"
    )]
    api_key_file: Option<PathBuf>,
    /// The CA certificate (PEM) that vouches for the server; without it the system's
    #[arg(long, env = "MAILFACTOR_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A client certificate (PEM) to call with
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

/// A connection that calls with the API key.
pub type Connection = InterceptedService<Channel, WithKey>;

/// Adds the API key to each call.
#[derive(Clone)]
pub struct WithKey(Option<AsciiMetadataValue>);

impl Interceptor for WithKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

impl ServerArgs {
    /// For a server of this process's own, as the demo has one.
    #[must_use]
    pub fn local(address: std::net::SocketAddr, api_key: &str) -> Self {
        Self {
            server: format!("http://{address}"),
            api_key: Some(api_key.to_owned()),
            api_key_file: None,
            ca: None,
            client_cert: None,
            client_key: None,
        }
    }

    /// Connects, with the key.
    pub async fn connect(&self) -> Result<Connection, CliError> {
        let key = WithKey(self.key()?);
        Ok(InterceptedService::new(self.channel().await?, key))
    }

    /// Connects, without any key.
    pub async fn channel(&self) -> Result<Channel, CliError> {
        let wrong = |_| {
            CliError::new(format!("`{}` is no server address", self.server))
                .hint("try http://127.0.0.1:50051")
        };
        let mut endpoint = Endpoint::from_shared(self.server.clone()).map_err(wrong)?;
        endpoint = endpoint
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_mins(1));
        if self.server.starts_with("https://") {
            endpoint = endpoint
                .tls_config(self.tls()?)
                .map_err(|error| CliError::new(format!("TLS: {error}")))?;
        }
        endpoint.connect().await.map_err(|error| {
            let reason =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            CliError::new(format!("cannot reach {}: {reason}", self.server))
                .hint("is `mailfactor serve` running, and is --server (or MAILFACTOR_SERVER) right?")
        })
    }

    fn tls(&self) -> Result<ClientTlsConfig, CliError> {
        let mut tls = ClientTlsConfig::new();
        tls = match &self.ca {
            Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?.as_bytes())),
            None => tls.with_native_roots(),
        };
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            tls = tls.identity(Identity::from_pem(
                read(certificate)?.as_bytes(),
                read(key)?.as_bytes(),
            ));
        }
        Ok(tls)
    }

    fn key(&self) -> Result<Option<AsciiMetadataValue>, CliError> {
        let key = match (&self.api_key, &self.api_key_file) {
            (Some(key), _) => Some(Zeroizing::new(key.clone())),
            (None, Some(path)) => Some(read(path)?),
            (None, None) => None,
        };
        let Some(key) = key else { return Ok(None) };
        let text = Zeroizing::new(format!("Bearer {}", key.trim()));
        let mut value: AsciiMetadataValue = text
            .parse()
            .map_err(|_| CliError::new("the API key has characters that no API key has"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn read(path: &PathBuf) -> Result<Zeroizing<String>, CliError> {
    let text =
        fs::read_to_string(path).map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
    Ok(Zeroizing::new(text))
}

/// A refusal of the server in words: its text, each field that is wrong, and what to do.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
pub fn refused(status: Status) -> CliError {
    let details = status.get_error_details();
    let reason = details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default();
    let mut message = status.message().to_owned();
    if message.is_empty() {
        message = format!("the server answered {:?}", status.code());
    }
    for violation in details
        .bad_request()
        .map(|bad| bad.field_violations.as_slice())
        .unwrap_or_default()
    {
        let _ = write!(message, "\n  {}: {}", violation.field, violation.description);
    }
    let wait = details.retry_info().and_then(|info| info.retry_delay);
    if let Some(wait) = wait {
        let _ = write!(message, "\n  try again in {} s", wait.as_secs().max(1));
    }
    if !reason.is_empty() {
        let _ = write!(message, " ({reason})");
    }
    let error = CliError::new(message);
    match status.code() {
        Code::Unauthenticated => {
            error.hint("make a caller with `mailfactor caller add NAME --role ROLE` and set MAILFACTOR_API_KEY to its key")
        }
        Code::PermissionDenied => error.hint("`mailfactor caller list` shows the roles; the README says which RPC needs which"),
        _ => error,
    }
}
