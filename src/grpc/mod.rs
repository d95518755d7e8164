//! The door: protobuf in, protobuf out. It lets in whom the gate knows, turns messages into checked requests, answers
//! into messages and errors into statuses. It decides nothing else.
//!
//! A connection passes `accept` (TLS, the whole preface, in time) and is served by `connection` until it ends or the
//! process does. A request passes `porch`, step by step: its headers (`request`), its method (`methods`), its caller
//! (`caller`), its one message, room for it (`load`). Then tonic decodes it, and one of the services (`authenticator`,
//! `policy`, `outbox`, `audit`, `inbox`, `repository`) parses (`convert`), calls, and maps (`status`). `observe` sees it begin and end.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _, future, stream};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;
use tonic::{Status, service::Routes};

use crate::{
    domain::address::LocalPart,
    factor::Desk,
    pb::v1 as pb,
    policy::{Gate, InboxOffice, Office, Vitals},
};

mod accept;
mod audit;
mod authenticator;
mod caller;
mod connection;
mod convert;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod inbox;
mod load;
mod methods;
mod observe;
mod outbox;
mod policy;
mod porch;
mod reflection;
mod repository;
mod request;
mod revocation;
mod status;
mod tls;

#[cfg(test)]
mod convert_tests;
#[cfg(test)]
mod door_tests;
#[cfg(test)]
#[path = "testing_tests.rs"]
mod testing;

pub use tls::{DoorError, TlsFiles};

/// The door and what stands behind it.
pub struct Door {
    /// The use cases of challenges.
    pub desk: Arc<Desk>,
    /// The use cases of accounts and of the outbox.
    pub office: Arc<Office>,
    /// The use cases of inboxes.
    pub inboxes: Arc<InboxOffice>,
    /// Who may call.
    pub gate: Arc<Gate>,
    /// Whether the service could do its work.
    pub vitals: Arc<Vitals>,
    /// The rest.
    pub settings: DoorSettings,
}

/// Settings of the door.
#[derive(Clone, Debug)]
pub struct DoorSettings {
    /// The server's certificate; `None`: plain text.
    pub tls: Option<TlsFiles>,
    /// Whether callers, unknown ones included, may read the protocol from the server.
    pub reflection: bool,
    /// How long a peer has for the TLS handshake, and again for the HTTP/2 preface.
    pub handshake_timeout: Duration,
    /// How long a caller has to send the message of a call.
    pub message_timeout: Duration,
    /// Connections at once; more are closed as they come.
    pub most_connections: usize,
    /// Calls in work at once, and watched streams at once, of which no caller has more than its share (see `load`); more
    /// are refused with `RESOURCE_EXHAUSTED`.
    pub most_requests: usize,
    /// Streams of one connection at once.
    pub most_streams: u32,
    /// Bytes of one message.
    pub message_limit: usize,
    /// Bytes of a call's headers, as HTTP/2 counts them (RFC 9113, 6.5.2).
    pub header_limit: u32,
    /// How often a quiet connection is pinged.
    pub keepalive_interval: Duration,
    /// How long it has to answer before it is closed.
    pub keepalive_timeout: Duration,
    /// How long a connection may go without a call, twice that at the most, until it is told to leave: answering pings
    /// alone holds no place. Clients connect again by themselves.
    pub most_idle: Duration,
    /// How long calls are still taken after health says that they will not be.
    pub notice: Duration,
    /// Which local parts addresses may have.
    pub local_part: LocalPart,
}

impl Default for DoorSettings {
    fn default() -> Self {
        Self {
            tls: None,
            reflection: false,
            handshake_timeout: Duration::from_secs(5),
            message_timeout: Duration::from_secs(10),
            most_connections: 1024,
            most_requests: 512,
            most_streams: 100,
            message_limit: 64 * 1024,
            header_limit: 8 * 1024,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            most_idle: Duration::from_mins(15),
            notice: Duration::ZERO,
            local_part: LocalPart::default(),
        }
    }
}

impl Door {
    /// Reads the TLS files, to say now what would be wrong with them later.
    pub fn check(&self) -> Result<(), DoorError> {
        self.settings.tls.as_ref().map(tls::acceptor).transpose()?;
        Ok(())
    }

    /// Serves until the soft token, then drains: at once health says `NOT_SERVING`, and streams that are watched end with
    /// `UNAVAILABLE` (`SHUTTING_DOWN`); after the notice the listener closes, and calls in flight finish. The deadline for
    /// that is the caller's to set: dropping this future ends what is left.
    pub async fn serve(self, listener: TcpListener, soft: CancellationToken) -> Result<(), DoorError> {
        let tls = self.settings.tls.as_ref().map(tls::acceptor).transpose()?;
        // The first look comes before the first connection: a ready store is SERVING from the first request.
        let (pulse, health) = watch::channel(health::look(&self.vitals, &self.desk).await);
        let porch = porch::Porch {
            routes: self.routes(&health, &soft)?,
            gate: self.gate,
            load: load::Load::new(self.settings.most_requests),
            reflection: self.settings.reflection,
            message_limit: self.settings.message_limit,
            message_timeout: self.settings.message_timeout,
            soft: soft.clone(),
        };
        let (notice, leave) = (self.settings.notice, CancellationToken::new());
        let connections = connection::Connections {
            listener,
            tls,
            porch: Arc::new(porch),
            settings: self.settings,
            leave: leave.clone(),
        };
        let notice = async {
            soft.cancelled().await;
            tokio::time::sleep(notice).await;
            leave.cancel();
        };
        future::join3(
            health::follow(&self.vitals, &self.desk, pulse, soft.clone()),
            notice,
            connections.serve(),
        )
        .await;
        Ok(())
    }

    fn routes(
        &self,
        health: &watch::Receiver<health::Pulse>,
        soft: &CancellationToken,
    ) -> Result<Routes, DoorError> {
        use pb::{
            email_otp_authenticator_server::EmailOtpAuthenticatorServer, mail_audit_server::MailAuditServer,
            mail_inbox_server::MailInboxServer, mail_outbox_server::MailOutboxServer,
            mail_sender_policy_server::MailSenderPolicyServer,
            user_repositories_server::UserRepositoriesServer,
        };
        let limit = self.settings.message_limit;
        let authenticator = authenticator::Authenticator {
            desk: Arc::clone(&self.desk),
            soft: soft.clone(),
            local_part: self.settings.local_part,
        };
        let policy = policy::Policy {
            office: Arc::clone(&self.office),
            local_part: self.settings.local_part,
        };
        let outbox = outbox::Outbox {
            office: Arc::clone(&self.office),
            inboxes: Arc::clone(&self.inboxes),
            soft: soft.clone(),
        };
        let audit = audit::Audit {
            office: Arc::clone(&self.office),
        };
        let inbox = inbox::Inbox {
            inboxes: Arc::clone(&self.inboxes),
        };
        let repositories = repository::Repositories {
            desk: Arc::clone(&self.desk),
        };
        let routes =
            Routes::new(EmailOtpAuthenticatorServer::new(authenticator).max_decoding_message_size(limit))
                .add_service(MailSenderPolicyServer::new(policy).max_decoding_message_size(limit))
                .add_service(MailOutboxServer::new(outbox).max_decoding_message_size(limit))
                .add_service(MailAuditServer::new(audit).max_decoding_message_size(limit))
                .add_service(MailInboxServer::new(inbox).max_decoding_message_size(limit))
                .add_service(UserRepositoriesServer::new(repositories).max_decoding_message_size(limit))
                .add_service(health::service(health.clone(), soft.clone()));
        if self.settings.reflection {
            reflection::add(routes, limit)
        } else {
            Ok(routes)
        }
    }
}

/// What streaming answers are.
type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A stream that ends with `UNAVAILABLE` when the process does.
fn until<T: Send + 'static>(
    soft: CancellationToken,
    items: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> BoxStream<T> {
    let items = items.take_until(soft.clone().cancelled_owned());
    let last = stream::once(async move { soft.is_cancelled() })
        .filter_map(|stopping| future::ready(stopping.then(|| Err(status::shutting_down()))));
    Box::pin(items.chain(last))
}
