//! A TCP proxy that does what networks do: delays, drips, swallows, cuts.
//!
//! A fault applies at once, to connections that are open as to new ones, in both directions unless it says otherwise.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

/// What the proxy does to the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Passes them on.
    None,
    /// Passes each piece on after this long.
    Latency(Duration),
    /// Passes on so many bytes a second at the most, one by one.
    Throughput(u32),
    /// Accepts connections and bytes and passes nothing on, either way.
    BlackHole,
    /// Passes on what the client says; the server's answers get lost.
    HalfOpen,
    /// Cuts every connection with RST, the new ones as soon as they come.
    Reset,
}

/// A proxy in front of one server; it ends, connections and all, when it is dropped.
pub struct Proxy {
    /// Where to connect.
    pub address: SocketAddr,
    fault: watch::Sender<Fault>,
    turns: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// A faultless proxy in front of `upstream`.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fault, watched) = watch::channel(Fault::None);
        let turns = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream, watched, Arc::clone(&turns)));
        Self {
            address,
            fault,
            turns,
            _tasks: tasks,
        }
    }

    /// How often a client spoke after its server had, over all connections: its round trips, but for those before it.
    pub fn turns(&self) -> usize {
        self.turns.load(Ordering::SeqCst)
    }

    /// From now on this is what happens.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    fault: watch::Receiver<Fault>,
    turns: Arc<AtomicUsize>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(connection(client, upstream, fault.clone(), Arc::clone(&turns)));
                }
            }
            // Keeps the set from growing.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(
    mut client: TcpStream,
    upstream: SocketAddr,
    mut fault: watch::Receiver<Fault>,
    turns: Arc<AtomicUsize>,
) {
    let mut server = None;
    let relayed = fault.clone();
    let reset = tokio::select! {
        biased;
        result = fault.wait_for(|fault| *fault == Fault::Reset) => result.is_ok(),
        _ = relay(&mut client, &mut server, upstream, relayed, &turns) => false,
    };
    if reset {
        // Without lingering, closing sends RST instead of FIN.
        for stream in [Some(client), server].into_iter().flatten() {
            let _ = stream.set_zero_linger();
        }
    }
}

async fn relay(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    upstream: SocketAddr,
    fault: watch::Receiver<Fault>,
    turns: &AtomicUsize,
) -> io::Result<()> {
    let server = server.insert(TcpStream::connect(upstream).await?);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let server_spoke = AtomicBool::new(false);
    let seen = |down: bool| {
        if server_spoke.swap(down, Ordering::SeqCst) && !down {
            turns.fetch_add(1, Ordering::SeqCst);
        }
    };
    let up = pump(&mut from_client, &mut to_server, fault.clone(), false, &seen);
    let down = pump(&mut from_server, &mut to_client, fault, true, &seen);
    tokio::try_join!(up, down).map(|_| ())
}

async fn pump<R, W>(
    from: &mut R,
    to: &mut W,
    mut fault: watch::Receiver<Fault>,
    down: bool,
    seen: &(dyn Fn(bool) + Sync),
) -> io::Result<()>
where
    R: AsyncReadExt + Unpin,
    W: AsyncWriteExt + Unpin,
{
    // A delay is that of the way: pieces that follow each other closely arrive so.
    let (pieces, mut underway) = mpsc::channel::<(Instant, Fault, Vec<u8>)>(64);
    let mut over = fault.clone();
    let reading = async move {
        let mut buffer = [0; 16 * 1024];
        loop {
            let length = from.read(&mut buffer).await?;
            let current = *fault.borrow_and_update();
            let swallowed = current == Fault::BlackHole || (current == Fault::HalfOpen && down);
            if length == 0 {
                return io::Result::Ok(());
            }
            if swallowed {
                continue;
            }
            seen(down);
            let piece = (Instant::now(), current, buffer[..length].to_vec());
            if pieces.send(piece).await.is_err() {
                return Ok(());
            }
        }
    };
    let writing = async {
        while let Some((came, fault, bytes)) = underway.recv().await {
            match fault {
                Fault::Latency(delay) => {
                    tokio::time::sleep_until(came + delay).await;
                    to.write_all(&bytes).await?;
                }
                Fault::Throughput(per_second) => {
                    for byte in bytes {
                        tokio::time::sleep(Duration::from_secs(1) / per_second.max(1)).await;
                        to.write_all(&[byte]).await?;
                    }
                }
                _ => to.write_all(&bytes).await?,
            }
        }
        // A cable that is cut carries no FIN either: hold the end back until the fault is over.
        let ends = |fault: &Fault| *fault != Fault::BlackHole && !(down && *fault == Fault::HalfOpen);
        let _ = over.wait_for(ends).await;
        to.shutdown().await
    };
    tokio::try_join!(reading, writing).map(|_| ())
}

#[cfg(test)]
mod tests {
    //! The proxy itself, in front of an echo.
    use super::*;

    async fn echo() -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        (address, tasks)
    }

    async fn exchange(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn passes_on_drips_and_delays() {
        let (address, _echo) = echo().await;
        let proxy = Proxy::start(address).await;
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        for fault in [
            Fault::None,
            Fault::Throughput(1_000),
            Fault::Latency(Duration::from_millis(5)),
        ] {
            proxy.set(fault);
            assert_eq!(
                exchange(&mut stream, b"hello").await.unwrap(),
                b"hello",
                "{fault:?}"
            );
        }
    }

    #[tokio::test]
    async fn delays_what_comes_in_pieces_as_often_as_what_comes_whole() {
        let (address, _echo) = echo().await;
        let proxy = Proxy::start(address).await;
        let delay = Duration::from_millis(100);
        proxy.set(Fault::Latency(delay));
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let begun = Instant::now();
        stream.set_nodelay(true).unwrap();
        for byte in b"hello" {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.unwrap();
        let took = begun.elapsed();
        assert!(took >= delay * 2 && took < delay * 4, "{took:?}");
    }

    #[tokio::test]
    async fn swallows() {
        let (address, _echo) = echo().await;
        let proxy = Proxy::start(address).await;
        for fault in [Fault::BlackHole, Fault::HalfOpen] {
            proxy.set(fault);
            let mut stream = TcpStream::connect(proxy.address).await.unwrap();
            let silence = tokio::time::timeout(Duration::from_millis(100), exchange(&mut stream, b"hello"));
            assert!(silence.await.is_err(), "{fault:?}");
        }
    }

    #[tokio::test]
    async fn resets_open_and_new_connections() {
        let (address, _echo) = echo().await;
        let proxy = Proxy::start(address).await;
        let mut open = TcpStream::connect(proxy.address).await.unwrap();
        assert!(exchange(&mut open, b"hello").await.is_ok());
        proxy.set(Fault::Reset);
        let error = open.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let mut new = TcpStream::connect(proxy.address).await.unwrap();
        assert!(new.read_u8().await.is_err());
    }
}
