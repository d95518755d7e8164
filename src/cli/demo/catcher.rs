//! A mail catcher: a small SMTP server (RFC 5321) on loopback that takes every mail and hands it on.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// The longest line with its end (RFC 5321, 4.5.3.1.6).
const LINE: u64 = 1_000;

/// The largest mail.
const MAIL: usize = 1024 * 1024;

/// How long a client may be silent.
const SILENCE: Duration = Duration::from_mins(1);

/// A mail as it came in.
#[derive(Clone, Debug)]
pub(super) struct Caught {
    /// The envelope's recipients.
    pub(super) recipients: Vec<String>,
    /// Headers and body, lines ending with CR LF.
    pub(super) message: String,
}

/// A catcher that is bound and not yet running.
pub(super) struct Catcher {
    /// Where it listens.
    pub(super) address: SocketAddr,
    listener: TcpListener,
    caught: mpsc::Sender<Caught>,
}

impl Catcher {
    /// Binds a free port of loopback. The other end gets the mails.
    pub(super) async fn bind() -> io::Result<(Self, mpsc::Receiver<Caught>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (caught, mails) = mpsc::channel(64);
        Ok((
            Self {
                address,
                listener,
                caught,
            },
            mails,
        ))
    }

    /// Catches until the token is cancelled.
    pub(super) async fn run(self, end: CancellationToken) {
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                Some(_) = sessions.join_next() => {}
                Ok((stream, _)) = self.listener.accept() => {
                    sessions.spawn(session(stream, self.caught.clone()));
                }
            }
        }
    }
}

/// What to do after a reply.
enum Next {
    Command,
    Data,
    Close,
}

async fn session(stream: TcpStream, caught: mpsc::Sender<Caught>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut recipients = Vec::new();
    reply(&mut stream, "220 catcher.mailfactor.example ESMTP").await?;
    loop {
        let line = read_line(&mut stream).await?;
        let (text, next) = answer(&line, &mut recipients);
        reply(&mut stream, text).await?;
        match next {
            Next::Command => {}
            Next::Close => return Ok(()),
            Next::Data => {
                let message = read_message(&mut stream).await?;
                let recipients = std::mem::take(&mut recipients);
                // Taken means kept: the reply comes after the mail was handed on.
                let kept = caught.send(Caught { recipients, message }).await;
                let text = if kept.is_ok() {
                    "250 2.0.0 Caught"
                } else {
                    "451 4.3.0 Closing"
                };
                reply(&mut stream, text).await?;
            }
        }
    }
}

fn answer(line: &str, recipients: &mut Vec<String>) -> (&'static str, Next) {
    let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
    match verb.as_str() {
        "EHLO" => (
            "250-catcher.mailfactor.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 1048576",
            Next::Command,
        ),
        "HELO" => ("250 catcher.mailfactor.example", Next::Command),
        "MAIL" | "RSET" => {
            recipients.clear();
            ("250 2.1.0 Ok", Next::Command)
        }
        "RCPT" => {
            let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
            match address {
                Some((address, _)) => {
                    recipients.push(address.to_owned());
                    ("250 2.1.5 Ok", Next::Command)
                }
                None => ("501 5.1.3 No recipient", Next::Command),
            }
        }
        "DATA" if recipients.is_empty() => ("503 5.5.1 RCPT first", Next::Command),
        "DATA" => ("354 Go on", Next::Data),
        "NOOP" => ("250 2.0.0 Ok", Next::Command),
        "QUIT" => ("221 2.0.0 Bye", Next::Close),
        _ => ("502 5.5.1 Not known here", Next::Command),
    }
}

async fn reply(stream: &mut BufReader<TcpStream>, text: &str) -> io::Result<()> {
    stream.write_all(format!("{text}\r\n").as_bytes()).await
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    let read = timeout(SILENCE, (&mut *stream).take(LINE).read_until(b'\n', &mut line)).await;
    if read?? == 0 || line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = String::from_utf8_lossy(&line);
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Up to the line with the dot; dots that were doubled are single again (RFC 5321, 4.5.2).
async fn read_message(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut message = String::new();
    loop {
        let line = read_line(stream).await?;
        if line == "." {
            return Ok(message);
        }
        message.push_str(line.strip_prefix('.').unwrap_or(&line));
        message.push_str("\r\n");
        if message.len() > MAIL {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn takes_a_mail_and_hands_it_on() {
        let (catcher, mut mails) = Catcher::bind().await.unwrap();
        let address = catcher.address;
        let end = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(catcher.run(end.clone()));
        let mut client = TcpStream::connect(address).await.unwrap();
        let script = "EHLO x\r\nDATA\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<ann@example.com>\r\nDATA\r\nSubject: s\r\n\r\n..dot\r\n.\r\nVRFY x\r\nQUIT\r\n";
        client.write_all(script.as_bytes()).await.unwrap();
        let mut replies = String::new();
        client.read_to_string(&mut replies).await.unwrap();
        let codes: Vec<_> = replies
            .lines()
            .filter(|line| line.as_bytes().get(3) == Some(&b' '))
            .map(|line| &line[..3])
            .collect();
        assert_eq!(
            codes,
            ["220", "250", "503", "250", "250", "354", "250", "502", "221"]
        );
        let mail = mails.recv().await.unwrap();
        assert_eq!(mail.recipients, ["ann@example.com"]);
        assert_eq!(mail.message, "Subject: s\r\n\r\n.dot\r\n");
        end.cancel();
        running.join_all().await;
    }
}
