//! A caller of the service with so many connections, and its key on every call.

use std::{net::SocketAddr, time::Duration};

use mailfactor::pb::v1::email_otp_authenticator_client::EmailOtpAuthenticatorClient;
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::Outcome;

/// How many calls share a connection: a server takes 100 at once (`server.limits.streams`).
const CALLS_A_CONNECTION: usize = 32;

/// Connections for a number of calls in flight.
#[derive(Clone)]
pub(crate) struct Callers {
    connections: Vec<EmailOtpAuthenticatorClient<Channel>>,
    key: MetadataValue<Ascii>,
}

impl Callers {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr, key: &str, in_flight: usize) -> Outcome<Self> {
        let mut connections = Vec::new();
        for _ in 0..in_flight.div_ceil(CALLS_A_CONNECTION) {
            connections.push(EmailOtpAuthenticatorClient::new(channel(address).await?));
        }
        let key = format!("Bearer {key}").parse()?;
        Ok(Self { connections, key })
    }

    /// The connection of a lane.
    pub(crate) fn of(&self, lane: usize) -> EmailOtpAuthenticatorClient<Channel> {
        self.connections[lane % self.connections.len()].clone()
    }

    /// A message with the key on it.
    pub(crate) fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.key.clone());
        request
    }
}

/// A connection.
pub(crate) async fn channel(address: SocketAddr) -> Outcome<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(endpoint
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(5))
        .connect()
        .await?)
}

/// Whether a server says that it serves.
pub(crate) async fn serves(address: SocketAddr) -> bool {
    let Ok(channel) = channel(address).await else {
        return false;
    };
    let mut health = HealthClient::new(channel);
    let answer = health.check(HealthCheckRequest::default()).await;
    answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
}
