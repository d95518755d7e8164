//! The dialogue before TLS: greeting, EHLO, STARTTLS (RFC 3207), spoken by ourselves.
//!
//! lettre keeps what it has read before the handshake and believes it afterwards: whoever sits in between could answer
//! for the server. Here nothing that came in plain outlives the handshake: a byte too many ends the attempt.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::guard::{Guard, Stream};

/// A reply of a server that speaks in plain.
#[derive(Debug)]
pub(super) struct PlainReply {
    /// Its code.
    pub(super) code: u16,
    /// Its lines, without the code.
    pub(super) lines: Vec<String>,
}

/// Why the exchange failed.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// The server said no.
    Refused(PlainReply),
    /// Bytes came before their time, or no reply at all.
    Fault(&'static str),
    /// The connection was lost, ran out of time or said too much.
    Lost(io::Error),
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// Brings a server to the point where TLS begins.
pub(super) async fn start_tls<S: Stream>(
    stream: &mut Guard<S>,
    hello_name: &str,
) -> Result<(), ExchangeError> {
    expect(read_reply(stream).await?, 220)?;
    stream
        .write_all(format!("EHLO {hello_name}\r\n").as_bytes())
        .await?;
    let offers = expect(read_reply(stream).await?, 250)?;
    let offered = offers.lines.iter().skip(1).any(|line| {
        let keyword = line.split_ascii_whitespace().next().unwrap_or_default();
        keyword.eq_ignore_ascii_case("STARTTLS")
    });
    if !offered {
        return Err(ExchangeError::Fault("the server does not offer STARTTLS"));
    }
    stream.write_all(b"STARTTLS\r\n").await?;
    expect(read_reply(stream).await?, 220)?;
    Ok(())
}

fn expect(reply: PlainReply, code: u16) -> Result<PlainReply, ExchangeError> {
    if reply.code == code {
        Ok(reply)
    } else {
        Err(ExchangeError::Refused(reply))
    }
}

/// Reads one reply (RFC 5321, 4.2.1). A byte after its last line is a fault: we have not asked for more.
async fn read_reply<S: Stream>(stream: &mut Guard<S>) -> Result<PlainReply, ExchangeError> {
    let mut bytes = Vec::new();
    loop {
        // The guard bounds size and time.
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if let Some((reply, rest)) = split_reply(&bytes)? {
            return if rest.is_empty() {
                Ok(reply)
            } else {
                Err(ExchangeError::Fault("the server spoke before its turn"))
            };
        }
    }
}

/// The reply that the bytes begin with, and what follows it; `None` while it is not whole.
fn split_reply(bytes: &[u8]) -> Result<Option<(PlainReply, &[u8])>, ExchangeError> {
    const FAULT: ExchangeError = ExchangeError::Fault("the server's reply is not understood");
    let mut rest = bytes;
    let mut lines = Vec::new();
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let (line, after) = (rest.get(..end).unwrap_or_default(), rest.get(end + 2..));
        rest = after.unwrap_or_default();
        let (code, text) = line.split_at_checked(3).ok_or(FAULT)?;
        let code = str::from_utf8(code).ok().and_then(|code| code.parse().ok());
        let code = code.filter(|code| (200..600).contains(code)).ok_or(FAULT)?;
        let (separator, text) = text.split_first().unwrap_or((&b' ', b""));
        lines.push(String::from_utf8_lossy(text).into_owned());
        match separator {
            b'-' => {}
            b' ' => return Ok(Some((PlainReply { code, lines }, rest))),
            _ => return Err(FAULT),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_split_where_they_end() {
        let (reply, rest) = split_reply(b"250-a\r\n250 b\r\nx").unwrap().unwrap();
        assert_eq!((reply.code, reply.lines), (250, vec!["a".into(), "b".into()]));
        assert_eq!(rest, b"x");
        let (reply, rest) = split_reply(b"220\r\n").unwrap().unwrap();
        assert_eq!(
            (reply.code, reply.lines, rest),
            (220, vec![String::new()], &b""[..])
        );
    }

    #[test]
    fn what_is_not_whole_waits_and_what_is_no_reply_fails() {
        for part in [&b""[..], b"220 a", b"220 a\n", b"250-a\r\n", b"250-a\r\n250"] {
            assert!(split_reply(part).unwrap().is_none());
        }
        for bad in [
            &b"x\r\n"[..],
            b"HTTP/1.1 400\r\n",
            b"250x\r\n",
            b"999 a\r\n",
            b"\r\n",
        ] {
            assert!(split_reply(bad).is_err());
        }
    }
}
