//! The protocol from its descriptors, calls with any bytes as their message, and frames that no client would send.

use std::{net::SocketAddr, sync::Mutex};

use bytes::{Buf as _, BufMut as _, Bytes};
use hyper_util::rt::TokioIo;
use mailfactor::{domain::caller::Role, pb};
use prost::Message as _;
use tokio::{net::TcpStream, task::JoinSet};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

use super::{in_time, service::PATIENCE};

/// A method as the protocol describes it.
#[derive(Clone, Debug)]
pub struct Method {
    /// Its path on the wire.
    pub path: String,
    /// Who may call it.
    pub roles: Vec<Role>,
    /// Whether its answer is a stream.
    pub streams: bool,
}

/// Every method of the protocol, with the roles that its comment names.
pub fn methods() -> Vec<Method> {
    let set = prost_types::FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap();
    let mut found = Vec::new();
    for file in set.file.iter().filter(|file| file.package() == "mailfactor.v1") {
        let comments = &file.source_code_info.as_ref().unwrap().location;
        for (s, service) in (0..).zip(&file.service) {
            for (m, method) in (0..).zip(&service.method) {
                let place = comments.iter().find(|comment| comment.path == [6, s, 2, m]);
                let comment = place.unwrap().leading_comments();
                let roles = comment.split("Roles: ").nth(1).unwrap();
                let roles = roles.trim().trim_end_matches('.').split(", ");
                found.push(Method {
                    path: format!("/{}.{}/{}", file.package(), service.name(), method.name()),
                    roles: roles.map(|name| Role::from_name(name).unwrap()).collect(),
                    streams: method.server_streaming(),
                });
            }
        }
    }
    found
}

/// Messages as they are on the wire.
#[derive(Default)]
struct AsItIs;

impl Codec for AsItIs {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsItIs {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put_slice(&item);
        Ok(())
    }
}

impl Decoder for AsItIs {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; source.remaining()];
        source.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}

/// One connection, which is never made a second time: a call after its end fails.
pub async fn once(address: SocketAddr) -> Channel {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let stream = Mutex::new(Some(TokioIo::new(stream)));
    let connector = tower::service_fn(move |_| {
        let stream = stream.lock().unwrap().take();
        let gone = || std::io::Error::other("the connection was dropped");
        std::future::ready(stream.ok_or_else(gone))
    });
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .timeout(PATIENCE)
        .connect_with_connector(connector)
        .await
        .unwrap()
}

/// Calls a method with these bytes as its message; the bytes of the answer.
pub async fn call(
    channel: &Channel,
    authorization: Option<&str>,
    path: &str,
    message: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let (mut grpc, request) = ready(channel, authorization, message).await?;
    let answer = grpc.unary(request, path.parse().unwrap(), AsItIs);
    in_time(answer).await.map(tonic::Response::into_inner)
}

/// Calls a method whose answer is a stream; waits until it begins, which may be long before its first message.
pub async fn begin(
    channel: &Channel,
    authorization: Option<&str>,
    path: &str,
    message: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let (mut grpc, request) = ready(channel, authorization, message).await?;
    let answer = grpc.server_streaming(request, path.parse().unwrap(), AsItIs);
    in_time(answer).await.map(|_| Vec::new())
}

async fn ready(
    channel: &Channel,
    authorization: Option<&str>,
    message: Vec<u8>,
) -> Result<(Grpc<Channel>, Request<Vec<u8>>), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready()
        .await
        .map_err(|error| Status::from_error(Box::new(error)))?;
    let mut request = Request::new(message);
    if let Some(value) = authorization {
        request
            .metadata_mut()
            .insert("authorization", value.parse().unwrap());
    }
    Ok((grpc, request))
}

/// A connection of frames.
pub struct Frames {
    sender: h2::client::SendRequest<Bytes>,
    address: SocketAddr,
    _peer: JoinSet<()>,
}

impl Frames {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        let mut peer = JoinSet::new();
        peer.spawn(async move {
            let _ = connection.await;
        });
        Self {
            sender: sender.ready().await.unwrap(),
            address,
            _peer: peer,
        }
    }

    /// How many streams the server lets this connection have.
    pub fn most_streams(&self) -> usize {
        self.sender.current_max_send_streams()
    }

    /// Sends a request in these pieces and ends it; the HTTP status and the headers of the answer.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        pieces: &[&'static [u8]],
    ) -> (u16, http::HeaderMap) {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut sender = self.sender.clone();
        let (answer, mut body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        for piece in pieces {
            // The server may have answered and closed the stream before the rest is sent.
            let _ = body.send_data(Bytes::from_static(piece), false);
        }
        let _ = body.send_data(Bytes::new(), true);
        let answer = in_time(answer).await.unwrap();
        (answer.status().as_u16(), answer.headers().clone())
    }
}
