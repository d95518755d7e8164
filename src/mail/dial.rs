//! The dialer: the only place that opens connections to mail servers, each stage with a deadline of its own.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    IpRange, MailError, MailSettings,
    conversation::Conversation,
    exchange::{ExchangeError, start_tls},
    guard::Stream,
    identity::with_identity,
    journal::Journal,
    reply::{Hidden, failure, said_of_loss, said_of_trouble},
    tls,
};
use crate::{
    domain::{
        account::{Account, Link, Security, Server},
        delivery::{FailureKind, SendFailure, Stage},
        keyring::Keyring,
        oauth::TokenEndpoint,
    },
    secret_files::SecretFiles,
};

/// A connection on which EHLO comes next, or the greeting before it.
#[derive(Debug)]
pub(super) struct Dialed {
    /// What is said on it.
    pub(super) talk: Conversation<Box<dyn Stream>>,
    /// Whether the server is still to greet us. After STARTTLS it has done so already.
    pub(super) greets: bool,
}

/// Opens connections.
#[derive(Debug)]
pub(super) struct Dialer {
    egress: Vec<IpRange>,
    tls: Arc<ClientConfig>,
    keyring: Arc<Keyring>,
    files: Arc<SecretFiles>,
}

impl Dialer {
    /// With these limits and certificate authorities, and the keys that open the accounts' own.
    pub(super) fn new(settings: &MailSettings, keyring: Arc<Keyring>) -> Result<Self, MailError> {
        let name = &settings.hello_name;
        let fits = !name.is_empty()
            && name.len() <= 255
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
        if !fits {
            return Err(MailError::HelloName);
        }
        let tls = tls::client_config(settings.extra_roots.as_deref())?;
        Ok(Self {
            egress: settings.egress.clone(),
            tls,
            keyring,
            files: Arc::clone(&settings.secret_files),
        })
    }

    /// Resolves, connects and, where the account says so, encrypts. `settings` are those for the account.
    pub(super) async fn dial(
        &self,
        account: &Account,
        settings: &MailSettings,
        journal: &mut Journal,
    ) -> Result<Dialed, SendFailure> {
        let (server, link) = (&account.settings.server, &account.settings.link);
        let stream = self.open(server, settings, journal).await?;
        if server.security == Security::Plain {
            return Ok(dialed(settings, stream, true));
        }
        journal.begin(Stage::Tls);
        let starts = server.security == Security::StartTls;
        let encrypt = async {
            let stream = if starts {
                exchange(settings, stream).await?
            } else {
                stream
            };
            let config = self.config(account).await?;
            let name = link.server_name.as_ref().unwrap_or(&server.host);
            handshake(stream, name, config).await
        };
        let stream = within(settings.tls_timeout, Stage::Tls, encrypt).await?;
        journal.encrypted(tls::report(stream.get_ref().1));
        Ok(dialed(settings, stream, !starts))
    }

    /// Resolves and connects, no more.
    pub(super) async fn open(
        &self,
        server: &Server,
        settings: &MailSettings,
        journal: &mut Journal,
    ) -> Result<TcpStream, SendFailure> {
        journal.begin(Stage::Resolve);
        let addresses = self.resolve(server, settings).await?;
        journal.passed(list(&addresses));
        journal.begin(Stage::Connect);
        let (stream, peer) = connect(&addresses, settings).await?;
        journal.passed(peer.to_string());
        Ok(stream)
    }

    async fn resolve(
        &self,
        server: &Server,
        settings: &MailSettings,
    ) -> Result<Vec<SocketAddr>, SendFailure> {
        let looking = async {
            let found = lookup_host((server.host.as_str(), server.port)).await;
            found.map_err(|error| lost(Stage::Resolve, &error))
        };
        let found = within(settings.connect_timeout, Stage::Resolve, looking).await?;
        let found: Vec<SocketAddr> = found.collect();
        if found.is_empty() {
            return Err(account_failure(Stage::Resolve, "the name has no address"));
        }
        // Looked at now, and these very addresses are connected to: a name that changes in between gains nothing.
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| self.allows(address.ip()))
            .collect();
        if allowed.is_empty() {
            let text = "the server's address is not in the egress allow-list";
            return Err(account_failure(Stage::Resolve, text));
        }
        Ok(allowed)
    }

    fn allows(&self, address: IpAddr) -> bool {
        let egress = &self.egress;
        egress.is_empty() || egress.iter().any(|range: &IpRange| range.contains(address))
    }

    /// A connection to a token endpoint, under the rules for mail servers and the service's own authorities. One without
    /// TLS never leaves this machine.
    pub(super) async fn reach(
        &self,
        endpoint: &TokenEndpoint,
        settings: &MailSettings,
    ) -> Result<Box<dyn Stream>, SendFailure> {
        let server = Server {
            host: endpoint.host.clone(),
            port: endpoint.port,
            security: Security::ImplicitTls,
        };
        let mut addresses = self.resolve(&server, settings).await?;
        if !endpoint.tls {
            addresses.retain(|address| address.ip().is_loopback());
        }
        let (stream, _) = connect(&addresses, settings).await?;
        if !endpoint.tls {
            return Ok(Box::new(stream));
        }
        let encrypting = handshake(stream, &server.host, Arc::clone(&self.tls));
        Ok(Box::new(
            within(settings.tls_timeout, Stage::Tls, encrypting).await?,
        ))
    }

    /// Encrypts, and believes whom `link` says. No certificate is shown.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        server: &Server,
        link: &Link,
    ) -> Result<TlsStream<TcpStream>, SendFailure> {
        let name = link.server_name.as_ref().unwrap_or(&server.host);
        handshake(stream, name, self.trust(link)?).await
    }

    fn trust(&self, link: &Link) -> Result<Arc<ClientConfig>, SendFailure> {
        match tls::config_of(link) {
            None => Ok(Arc::clone(&self.tls)),
            Some(config) => config.map_err(|text| account_failure(Stage::Tls, text)),
        }
    }

    /// Whom an account believes, and what it shows.
    async fn config(&self, account: &Account) -> Result<Arc<ClientConfig>, SendFailure> {
        let link = &account.settings.link;
        let config = self.trust(link)?;
        let Some(identity) = &link.identity else {
            return Ok(config);
        };
        let config = with_identity(&config, &account.id, identity, &self.keyring, &self.files).await;
        config.map_err(|text| account_failure(Stage::Tls, text))
    }
}

async fn handshake(
    stream: TcpStream,
    name: &str,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, SendFailure> {
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| account_failure(Stage::Tls, "no certificate can be issued for this host name"))?;
    TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|error| lost(Stage::Tls, &error))
}

/// Tries the addresses in turn; each gets an equal share of the time that is left.
async fn connect(
    addresses: &[SocketAddr],
    settings: &MailSettings,
) -> Result<(TcpStream, SocketAddr), SendFailure> {
    let end = Instant::now() + settings.connect_timeout;
    let mut last = account_failure(Stage::Connect, "the server did not answer in time");
    for (index, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = end.saturating_duration_since(Instant::now()) / left;
        let connecting = async {
            let stream = TcpStream::connect(address).await;
            // Without this a mail waits 40 ms for an acknowledgement that the server delays (RFC 9293, 3.7.4).
            let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
            stream.map_err(|error| lost(Stage::Connect, &error))
        };
        match within(share, Stage::Connect, connecting).await {
            Ok(stream) => return Ok((stream, *address)),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

async fn exchange(settings: &MailSettings, stream: TcpStream) -> Result<TcpStream, SendFailure> {
    let exchanged = start_tls(converse(settings, stream), &settings.hello_name).await;
    exchanged.map_err(|error| match error {
        ExchangeError::Refused(answer) => Hidden::default().refusal(&answer, Stage::Tls),
        ExchangeError::Lacking(text) => account_failure(Stage::Tls, text),
        ExchangeError::Trouble(trouble) => account_failure(Stage::Tls, said_of_trouble(&trouble)),
    })
}

fn dialed<S: Stream + 'static>(settings: &MailSettings, stream: S, greets: bool) -> Dialed {
    let stream: Box<dyn Stream> = Box::new(stream);
    Dialed {
        talk: converse(settings, stream),
        greets,
    }
}

fn converse<S: Stream>(settings: &MailSettings, stream: S) -> Conversation<S> {
    Conversation::new(stream, settings.command_timeout, settings.reply_limit)
}

/// Work with a deadline of its own.
pub(super) async fn within<T>(
    patience: Duration,
    stage: Stage,
    work: impl Future<Output = Result<T, SendFailure>>,
) -> Result<T, SendFailure> {
    timeout(patience, work)
        .await
        .unwrap_or_else(|_| Err(account_failure(stage, "the server did not answer in time")))
}

fn lost(stage: Stage, error: &io::Error) -> SendFailure {
    account_failure(stage, said_of_loss(error))
}

fn account_failure(stage: Stage, text: impl Into<String>) -> SendFailure {
    failure(stage, FailureKind::Temporary, text)
}

fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses
        .iter()
        .take(8)
        .map(|address| address.ip().to_string())
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nagle_is_off() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, _) = connect(&[address], &MailSettings::default()).await.unwrap();
        assert!(stream.nodelay().unwrap());
    }

    #[test]
    fn the_ehlo_name_cannot_break_the_command() {
        let id = crate::domain::keyring::KeyId::parse("k1").unwrap();
        let keyring = Arc::new(Keyring::new([(id, [0; 32])]).unwrap());
        for bad in ["", "a b", "a\r\nQUIT", "é"] {
            let settings = MailSettings {
                hello_name: bad.into(),
                ..MailSettings::default()
            };
            assert!(
                matches!(
                    Dialer::new(&settings, Arc::clone(&keyring)),
                    Err(MailError::HelloName)
                ),
                "{bad:?}"
            );
        }
    }
}
