//! What a connection has to do before it is one: finish the TLS handshake and send the whole HTTP/2 preface, each in time.
//!
//! tonic and hyper wait for both without end, so that silent peers would keep their sockets for ever.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::domain::caller::CertificateDigest;

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// The leaf of the client certificate that an authority of ours vouches for.
    pub(super) certificate: Option<CertificateDigest>,
    /// Where from.
    pub(super) address: SocketAddr,
}

/// Why a connection is closed before it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Nothing came, or not all of it, in time.
    TooSlow,
    /// The TLS handshake failed.
    Tls,
    /// The peer speaks HTTP/1.
    Http1,
    /// The peer speaks something else, or closed.
    Preface,
}

impl Refused {
    /// Its name in metrics and logs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::TooSlow => "too_slow",
            Self::Tls => "tls",
            Self::Http1 => "http1",
            Self::Preface => "preface",
        }
    }
}

/// What every HTTP/2 client says first (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HTTP1_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 34\r\nConnection: close\r\n\r\n\
    This is a gRPC server: use HTTP/2\n";

/// Makes TLS of a connection.
pub(super) async fn handshake(
    stream: TcpStream,
    tls: &TlsAcceptor,
    limit: Duration,
) -> Result<(TlsStream<TcpStream>, Option<CertificateDigest>), Refused> {
    let stream = timeout(limit, tls.accept(stream))
        .await
        .map_err(|_| Refused::TooSlow)?
        .map_err(|error| {
            tracing::debug!(%error, "TLS handshake failed");
            Refused::Tls
        })?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = chain.first().map(|leaf| CertificateDigest::of(leaf));
    Ok((stream, certificate))
}

/// Waits for the preface; gives it back in front of what follows.
pub(super) async fn preface<S>(mut stream: S, limit: Duration) -> Result<Replayed<S>, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match timeout(limit, read_preface(&mut stream)).await {
        Err(_) => Err(Refused::TooSlow),
        Ok(Ok(())) => Ok(Replayed {
            left: PREFACE,
            stream,
        }),
        Ok(Err(refused)) => {
            if refused == Refused::Http1 {
                // A courtesy: whether it arrives does not matter.
                let farewell = async {
                    stream.write_all(HTTP1_ANSWER).await?;
                    stream.shutdown().await
                };
                let _ = timeout(limit, farewell).await;
            }
            Err(refused)
        }
    }
}

async fn read_preface<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(), Refused> {
    let mut read = [0; PREFACE.len()];
    let mut length = 0;
    while let Some(room) = read.get_mut(length..).filter(|room| !room.is_empty()) {
        match stream.read(room).await {
            Ok(0) | Err(_) => return Err(Refused::Preface),
            Ok(more) => length += more,
        }
        let so_far = read.get(..length).unwrap_or_default();
        if !PREFACE.starts_with(so_far) {
            return Err(stranger(so_far));
        }
    }
    Ok(())
}

/// What a peer speaks that does not speak HTTP/2: HTTP/1 begins with a method in capitals.
fn stranger(read: &[u8]) -> Refused {
    let method = read.split(|byte| *byte == b' ').next().unwrap_or_default();
    if !method.is_empty() && method.iter().all(u8::is_ascii_uppercase) {
        Refused::Http1
    } else {
        Refused::Preface
    }
}

/// A stream with its preface back in front of it.
#[derive(Debug)]
pub(super) struct Replayed<S> {
    left: &'static [u8],
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Replayed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let (now, later) = self.left.split_at(self.left.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.left = later;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replayed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn silence_and_half_a_preface_run_out_of_time() {
        for said in [&b""[..], b"PRI * HTTP/2.0\r\n"] {
            let (mut client, server) = duplex(1024);
            client.write_all(said).await.unwrap();
            assert_eq!(preface(server, LIMIT).await.err(), Some(Refused::TooSlow));
        }
    }

    #[tokio::test]
    async fn http1_is_told_so_and_others_are_not() {
        for (said, expected) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Refused::Http1),
            (b"\x16\x03\x01", Refused::Preface),
        ] {
            let (mut client, server) = duplex(1024);
            client.write_all(said).await.unwrap();
            assert_eq!(preface(server, LIMIT).await.err(), Some(expected));
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer.starts_with("HTTP/1.1 400 "), expected == Refused::Http1);
        }
        let body = HTTP1_ANSWER.rsplit(|byte| *byte == b'\r').next().unwrap();
        assert_eq!(body.len(), 1 + 34);
    }

    #[tokio::test]
    async fn the_preface_is_read_again_by_whoever_serves() {
        let (mut client, server) = duplex(1024);
        let mut said = PREFACE.to_vec();
        said.extend(b"and on");
        for byte in &said {
            client.write_u8(*byte).await.unwrap();
        }
        drop(client);
        let mut replayed = preface(server, LIMIT).await.unwrap();
        let mut read = Vec::new();
        replayed.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, said);
    }
}
