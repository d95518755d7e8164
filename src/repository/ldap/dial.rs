//! How a server of a directory is reached: TCP, TLS at once or by StartTLS, and nothing said before it is there.

use std::{fmt, io, net::IpAddr, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::connection::{Connection, LdapError};

/// What a connection runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// TLS from the first byte, as `ldaps:` says.
    Tls,
    /// TLS before anything else is said.
    StartTls,
    /// None at all.
    Plain,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub protection: Protection,
}

impl fmt::Display for LdapServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl LdapServer {
    /// Reads `ldaps://HOST[:PORT]` or `ldap://HOST[:PORT]`; the latter is protected as `plain` says.
    pub fn parse(text: &str, plain: Protection) -> Result<Self, &'static str> {
        const SHAPE: &str = "must be \"ldaps://HOST[:PORT]\" or \"ldap://HOST[:PORT]\"";
        let url = url::Url::parse(text).map_err(|_| SHAPE)?;
        let (protection, usual) = match url.scheme() {
            "ldaps" => (Protection::Tls, 636),
            "ldap" => (plain, 389),
            _ => return Err(SHAPE),
        };
        let bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        match url.host_str() {
            Some(host) if bare && !host.is_empty() => Ok(Self {
                host: host.trim_matches(['[', ']']).to_owned(),
                port: url.port().unwrap_or(usual),
                protection,
            }),
            _ => Err(SHAPE),
        }
    }

    /// Whether what is said to it stays on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let address: Option<IpAddr> = self.host.parse().ok();
        self.host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback())
    }

    /// Opens a connection. Takes as long as it takes: the deadline is the caller's.
    pub(super) async fn dial(&self, trust: &Trust) -> Result<Connection, LdapError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        match self.protection {
            Protection::Plain => Ok(Connection::new(Box::new(stream))),
            Protection::Tls => self.secure(stream, trust).await,
            Protection::StartTls => {
                let mut plain = Connection::new(stream);
                plain.start_tls().await?;
                // What came before TLS could be anybody's: nothing of it may be believed later.
                let stream = plain.into_stream().ok_or(LdapError::EarlyBytes)?;
                self.secure(stream, trust).await
            }
        }
    }

    async fn secure(&self, stream: TcpStream, trust: &Trust) -> Result<Connection, LdapError> {
        let name = match &trust.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(self.host.clone()).map_err(|_| LdapError::ServerName)?,
        };
        let connector = TlsConnector::from(Arc::clone(&trust.config));
        let stream = connector.connect(name, stream).await.map_err(LdapError::Tls)?;
        Ok(Connection::new(Box::new(stream)))
    }
}

/// Whom to believe.
#[derive(Clone)]
pub(super) struct Trust {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl Trust {
    /// The authorities in a PEM file, and no others; without one the system's. The certificate must be for `server_name`;
    /// without one for the host that is dialled.
    pub(super) fn new(authorities: Option<&Path>, server_name: Option<&str>) -> Result<Self, String> {
        let roots = match authorities {
            Some(path) => from_file(path)?,
            None => system_roots(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server_name = server_name.map(|name| ServerName::try_from(name.to_owned()));
        Ok(Self {
            config: Arc::new(config),
            server_name: server_name
                .transpose()
                .map_err(|_| "the server name is not a name".to_owned())?,
        })
    }
}

fn from_file(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    Ok(roots)
}

/// The system's, or Mozilla's list as it was when this was built where the system has none.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(native.certs);
    if added == 0 {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

impl From<io::Error> for LdapError {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        let read = |text| LdapServer::parse(text, Protection::StartTls);
        let server = |host: &str, port, protection| LdapServer {
            host: host.to_owned(),
            port,
            protection,
        };
        for (text, expected) in [
            (
                "ldaps://dc1.example.com",
                server("dc1.example.com", 636, Protection::Tls),
            ),
            (
                "ldap://dc1.example.com/",
                server("dc1.example.com", 389, Protection::StartTls),
            ),
            ("ldaps://[::1]:1636", server("::1", 1636, Protection::Tls)),
        ] {
            assert_eq!(read(text), Ok(expected));
        }
        for text in [
            "",
            "dc1",
            "http://dc1",
            "ldaps://",
            "ldaps://ann@dc1",
            "ldaps://dc1/dc=example",
            "ldap://dc1?x",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read("ldap://127.0.0.9").unwrap().is_loopback());
        assert!(read("ldap://[::1]").unwrap().is_loopback());
        assert!(!read("ldap://127.0.0.1.example.com").unwrap().is_loopback());
    }
}
