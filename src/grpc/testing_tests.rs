//! A door over services without a store, for the tests of the door itself.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status, service::Routes, transport::Channel};

use super::{
    BoxStream, DoorSettings, caller, connection, health, load, porch, reflection, status, tls, until,
};
use crate::{
    domain::{
        audit::Note,
        caller::{ApiKey, Caller, CallerId, CertificateDigest, KeyDigest, Role},
        clock::Timestamp,
    },
    pb::v1 as pb,
    policy::Gate,
    store::{CallerWrite, Callers, StoreResult},
    system::SystemEntropy,
};

/// A door on a free port.
pub(super) struct House {
    pub(super) address: SocketAddr,
    pub(super) soft: CancellationToken,
    pub(super) pulse: watch::Sender<health::Pulse>,
    pub(super) service: Arc<Service>,
    pub(super) serving: JoinSet<()>,
    pub(super) peers: JoinSet<()>,
    keys: HashMap<Role, String>,
}

/// Settings with short times.
pub(super) fn settings() -> DoorSettings {
    DoorSettings {
        handshake_timeout: Duration::from_millis(200),
        message_timeout: Duration::from_millis(200),
        ..DoorSettings::default()
    }
}

impl House {
    pub(super) async fn open(settings: DoorSettings) -> Self {
        Self::open_for(settings, None).await
    }

    /// With a caller of each role; the auditor has this certificate.
    pub(super) async fn open_for(settings: DoorSettings, certificate: Option<CertificateDigest>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let soft = CancellationToken::new();
        let (pulse, health) = watch::channel(health::Pulse {
            store: true,
            mail: true,
            repositories: Arc::default(),
        });
        let service = Arc::new(Service::new(soft.clone()));
        let (callers, keys) = callers(certificate);
        let authenticator =
            pb::email_otp_authenticator_server::EmailOtpAuthenticatorServer::from_arc(Arc::clone(&service));
        let routes = Routes::new(authenticator).add_service(health::service(health, soft.clone()));
        let porch = porch::Porch {
            routes: reflection::add(routes, settings.message_limit).unwrap(),
            gate: Arc::new(Gate::new(Arc::new(callers), Duration::from_secs(1))),
            load: load::Load::new(settings.most_requests),
            reflection: settings.reflection,
            message_limit: settings.message_limit,
            message_timeout: settings.message_timeout,
            soft: soft.clone(),
        };
        let connections = connection::Connections {
            listener,
            tls: settings.tls.as_ref().map(|files| tls::acceptor(files).unwrap()),
            porch: Arc::new(porch),
            settings,
            leave: soft.clone(),
        };
        let mut serving = JoinSet::new();
        serving.spawn(connections.serve());
        let peers = JoinSet::new();
        Self {
            address,
            soft,
            pulse,
            service,
            serving,
            peers,
            keys,
        }
    }

    /// The value of `authorization` for a caller of this role.
    pub(super) fn key(&self, role: Role) -> &str {
        &self.keys[&role]
    }

    pub(super) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection on which frames can be sent that a well-behaved client never sends.
    pub(super) async fn h2(&mut self) -> SendRequest<Bytes> {
        let (sender, connection) = h2::client::handshake(self.tcp().await).await.unwrap();
        self.peers.spawn(async move {
            let _ = connection.await;
        });
        sender.ready().await.unwrap()
    }

    pub(super) async fn channel(&self) -> Channel {
        let uri = format!("http://{}", self.address);
        Channel::from_shared(uri).unwrap().connect().await.unwrap()
    }

    /// A request message with the key of a caller of this role.
    pub(super) fn ask<T>(&self, role: Role, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let key = self.key(role).parse().unwrap();
        request.metadata_mut().insert("authorization", key);
        request
    }

    /// A request as it goes over the wire.
    pub(super) fn wire(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }
}

/// Sends a request in pieces; the answer's HTTP status and headers.
pub(super) async fn send(
    sender: &SendRequest<Bytes>,
    request: Request<()>,
    pieces: &[&'static [u8]],
    ends: bool,
) -> (StatusCode, HeaderMap) {
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, mut stream) = sender.send_request(request, false).unwrap();
    for piece in pieces {
        // The answer may be there before all is sent.
        let _ = stream.send_data(Bytes::from_static(piece), false);
    }
    if ends {
        let _ = stream.send_data(Bytes::new(), true);
    }
    let (head, _body) = response.await.unwrap().into_parts();
    (head.status, head.headers)
}

/// Code and reason of a status.
pub(super) fn told(status: &Status) -> (tonic::Code, String) {
    use tonic_types::StatusExt as _;
    let info = status.get_details_error_info();
    (status.code(), info.map(|info| info.reason).unwrap_or_default())
}

fn callers(certificate: Option<CertificateDigest>) -> (Known, HashMap<Role, String>) {
    let mut keys = HashMap::new();
    let known = Role::ALL.map(|role| {
        let key = ApiKey::random(CallerId::random(&SystemEntropy), &SystemEntropy);
        keys.insert(role, format!("Bearer {}", *key.reveal()));
        Caller {
            id: key.caller,
            name: role.name().to_owned(),
            role,
            see_users: true,
            keys: vec![key.digest()],
            certificate: certificate.filter(|_| role == Role::Auditor),
            created_at: Timestamp::default(),
        }
    });
    (Known(known.to_vec()), keys)
}

/// Callers that never change.
struct Known(Vec<Caller>);

#[async_trait]
impl Callers for Known {
    async fn add(&self, _: Caller, _: &Note) -> StoreResult<CallerWrite> {
        Ok(CallerWrite::Taken)
    }

    async fn rotate(&self, _: CallerId, _: KeyDigest, _: Timestamp, _: &Note) -> StoreResult<CallerWrite> {
        Ok(CallerWrite::Unknown)
    }

    async fn remove(&self, _: CallerId, _: &Note) -> StoreResult<CallerWrite> {
        Ok(CallerWrite::Unknown)
    }

    async fn find(&self, id: CallerId) -> StoreResult<Option<Caller>> {
        Ok(self.0.iter().find(|caller| caller.id == id).cloned())
    }

    async fn find_by_certificate(&self, certificate: CertificateDigest) -> StoreResult<Option<Caller>> {
        Ok(self
            .0
            .iter()
            .find(|caller| caller.certificate == Some(certificate))
            .cloned())
    }

    async fn list(&self) -> StoreResult<Vec<Caller>> {
        Ok(self.0.clone())
    }
}

/// Answers as the tests want it: `GetChallenge` at once, `VerifyCode` when released, `StartChallenge` by panicking,
/// `WatchChallenge` with one item and silence.
pub(super) struct Service {
    pub(super) entered: Notify,
    pub(super) release: Semaphore,
    soft: CancellationToken,
}

impl Service {
    fn new(soft: CancellationToken) -> Self {
        Self {
            entered: Notify::new(),
            release: Semaphore::new(0),
            soft,
        }
    }
}

#[tonic::async_trait]
impl pb::email_otp_authenticator_server::EmailOtpAuthenticator for Service {
    async fn start_challenge(
        &self,
        _: tonic::Request<pb::StartChallengeRequest>,
    ) -> Result<Response<pb::StartChallengeResponse>, Status> {
        panic!("as a test wants it")
    }

    async fn resend_code(
        &self,
        _: tonic::Request<pb::ResendCodeRequest>,
    ) -> Result<Response<pb::ResendCodeResponse>, Status> {
        Err(status::internal())
    }

    async fn verify_code(
        &self,
        _: tonic::Request<pb::VerifyCodeRequest>,
    ) -> Result<Response<pb::VerifyCodeResponse>, Status> {
        self.entered.notify_one();
        self.release.acquire().await.unwrap().forget();
        Ok(Response::new(pb::VerifyCodeResponse::default()))
    }

    async fn cancel_challenge(
        &self,
        _: tonic::Request<pb::CancelChallengeRequest>,
    ) -> Result<Response<pb::CancelChallengeResponse>, Status> {
        Err(status::internal())
    }

    async fn get_challenge(
        &self,
        request: tonic::Request<pb::GetChallengeRequest>,
    ) -> Result<Response<pb::GetChallengeResponse>, Status> {
        let challenge = pb::Challenge {
            // Says who was let in, and that its key came no further.
            masked_recipient: caller::of(&request)?.name.clone(),
            endpoint: format!("{:?}", request.metadata().get("authorization")),
            ..pb::Challenge::default()
        };
        Ok(Response::new(pb::GetChallengeResponse {
            challenge: Some(challenge),
        }))
    }

    type WatchChallengeStream = BoxStream<pb::WatchChallengeResponse>;

    async fn watch_challenge(
        &self,
        _: tonic::Request<pb::WatchChallengeRequest>,
    ) -> Result<Response<Self::WatchChallengeStream>, Status> {
        use futures_util::StreamExt as _;
        let first = stream::iter([Ok(pb::WatchChallengeResponse::default())]);
        Ok(Response::new(until(
            self.soft.clone(),
            first.chain(stream::pending()),
        )))
    }
}
