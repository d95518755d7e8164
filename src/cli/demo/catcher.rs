//! A mail server for the demo: it speaks SMTP (RFC 5321) on the loopback address, takes every mail and sends none on.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

use super::letter::Letter;
use crate::lifecycle::Shutdown;

/// The longest mail it takes, in bytes.
const LONGEST_MAIL: usize = 1024 * 1024;

/// The running server.
#[derive(Debug)]
pub struct Catcher {
    address: SocketAddr,
    caught: mpsc::Receiver<Letter>,
}

impl Catcher {
    /// Starts on a free port; ends with `shutdown`.
    pub async fn start(shutdown: &Shutdown) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (sender, caught) = mpsc::channel(64);
        let soft = shutdown.soft().clone();
        shutdown.spawn(async move {
            let mut conversations = JoinSet::new();
            while let Some(Ok((stream, _))) = soft.run_until_cancelled(listener.accept()).await {
                conversations.spawn(converse(stream, sender.clone()));
            }
        });
        Ok(Self { address, caught })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next mail.
    pub async fn next(&mut self) -> Option<Letter> {
        self.caught.recv().await
    }
}

/// One conversation, until the client says QUIT or goes.
async fn converse(stream: TcpStream, caught: mpsc::Sender<Letter>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 catcher.example ESMTP\r\n").await?;
    let (mut sender, mut recipients) = (String::new(), Vec::new());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-catcher.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8",
            "HELO" | "NOOP" => "250 ok",
            "MAIL" => {
                sender = path(line);
                recipients.clear();
                "250 sender ok"
            }
            "RCPT" => {
                recipients.push(path(line));
                "250 recipient ok"
            }
            "RSET" => {
                recipients.clear();
                "250 forgotten"
            }
            "DATA" if recipients.is_empty() => "503 no recipients",
            "DATA" => {
                stream.write_all(b"354 go on, end with a dot\r\n").await?;
                let source = read_mail(&mut stream).await?;
                let letter = Letter {
                    sender: sender.clone(),
                    recipients: std::mem::take(&mut recipients),
                    source,
                };
                // A demo that has ended reads no more mail.
                let _ = caught.send(letter).await;
                "250 caught"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "502 not here",
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}

/// The address between the angle brackets of MAIL FROM or RCPT TO.
fn path(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(path, _)| path.to_owned()).unwrap_or_default()
}

/// Reads up to the final dot and takes the doubled dots back (RFC 5321, 4.5.2).
async fn read_mail(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut mail = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || mail.len() > LONGEST_MAIL {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(mail);
        }
        mail.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
