//! POP3 (RFC 1939), as much as it takes to read and delete messages.

use zeroize::Zeroizing;

use super::{
    super::guard::Stream,
    session::{Handle, Limits, Listing, WINDOW, Waiting},
    wire::{Allowance, Trouble, Wire, said},
};
use crate::domain::inbox::{Position, SeenId};

/// A conversation.
#[derive(Debug)]
pub(super) struct Pop3<S> {
    wire: Wire<S>,
    limits: Limits,
    /// What CAPA told (RFC 2449); empty where it is not known.
    capabilities: Vec<String>,
}

impl<S: Stream> Pop3<S> {
    /// Over a connection on which the greeting is next, where one is to come.
    pub(super) async fn begin(wire: Wire<S>, limits: Limits, greeted: bool) -> Result<Self, Trouble> {
        let mut pop3 = Self {
            wire,
            limits,
            capabilities: Vec::new(),
        };
        if !greeted {
            pop3.status().await?;
        }
        pop3.say("CAPA", limits.line).await?;
        match pop3.status().await {
            Ok(_) => {
                let lines = pop3.lines().await?;
                pop3.capabilities = lines.iter().map(|line| said(line).to_ascii_uppercase()).collect();
            }
            // An old server.
            Err(Trouble::Refused(_)) => {}
            Err(trouble) => return Err(trouble),
        }
        Ok(pop3)
    }

    /// STLS (RFC 2595, 4); gives the stream on which the handshake comes next.
    pub(super) async fn start_tls(mut self) -> Result<S, Trouble> {
        if !self.capabilities.iter().any(|known| known == "STLS") {
            return Err(Trouble::Odd("the server does not offer STLS"));
        }
        self.command("STLS").await?;
        self.wire.into_stream()
    }

    /// What the server offers, for people.
    pub(super) fn offered(&self) -> String {
        self.capabilities.join(", ")
    }

    /// USER and PASS.
    pub(super) async fn log_in(&mut self, username: &str, secret: &str) -> Result<(), Trouble> {
        self.command(&format!("USER {username}")).await?;
        let line = Zeroizing::new(format!("PASS {secret}"));
        self.command(&line).await?;
        Ok(())
    }

    /// STAT.
    pub(super) async fn select(&mut self) -> Result<String, Trouble> {
        let stat = self.command("STAT").await?;
        let count = stat.split_whitespace().next().unwrap_or_default();
        let count: u32 = count.parse().map_err(|_| NONSENSE)?;
        Ok(format!("{count} messages"))
    }

    /// What was not read yet, in the server's order, among the last messages. `digest` hides the unique ids.
    pub(super) async fn list(
        &mut self,
        position: &Position,
        digest: impl Fn(&str) -> SeenId,
    ) -> Result<Listing, Trouble> {
        let ids = match self.pairs("UIDL").await {
            Err(Trouble::Refused(_)) => return Err(Trouble::Odd("the server does not know UIDL")),
            other => other?,
        };
        let sizes = self.pairs("LIST").await?;
        let from = ids
            .len()
            .saturating_sub(usize::try_from(WINDOW).unwrap_or(usize::MAX));
        let mut listing = Listing::default();
        for (number, id) in ids.into_iter().skip(from) {
            let id = digest(&id);
            listing.present.push(id);
            if position.seen.contains(&id) {
                continue;
            }
            let found = sizes.iter().find(|(known, _)| *known == number);
            let size = found.and_then(|(_, size)| size.parse().ok()).ok_or(NONSENSE)?;
            listing.fresh.push(Waiting {
                handle: Handle::Number(number, id),
                size,
            });
        }
        Ok(listing)
    }

    /// A message.
    pub(super) async fn fetch(&mut self, number: u32) -> Result<Vec<u8>, Trouble> {
        self.say(&format!("RETR {number}"), self.limits.message).await?;
        self.status().await?;
        let mut message = Vec::new();
        for line in self.lines().await? {
            message.extend_from_slice(&line);
            message.extend_from_slice(b"\r\n");
        }
        Ok(message)
    }

    /// Marks a message; [`Pop3::quit`] deletes it.
    pub(super) async fn delete(&mut self, number: u32) -> Result<(), Trouble> {
        self.command(&format!("DELE {number}")).await?;
        Ok(())
    }

    /// QUIT: what was marked is deleted if this succeeds (RFC 1939, 6).
    pub(super) async fn quit(mut self) -> Result<(), Trouble> {
        self.command("QUIT").await?;
        Ok(())
    }

    /// The lines of a number and a word that a command answers with.
    async fn pairs(&mut self, command: &str) -> Result<Vec<(u32, String)>, Trouble> {
        self.say(command, self.limits.list).await?;
        self.status().await?;
        let pair = |line: &Vec<u8>| {
            let line = said(line);
            let (number, word) = line.split_once(' ')?;
            Some((number.parse().ok()?, word.trim().to_owned()))
        };
        let lines = self.lines().await?;
        lines.iter().map(|line| pair(line).ok_or(NONSENSE)).collect()
    }

    async fn command(&mut self, text: &str) -> Result<String, Trouble> {
        self.say(text, self.limits.line).await?;
        self.status().await
    }

    async fn say(&mut self, text: &str, allowance: Allowance) -> Result<(), Trouble> {
        let line = Zeroizing::new(format!("{text}\r\n"));
        self.wire.send(line.as_bytes(), allowance).await
    }

    /// `+OK` and what it says, or the refusal.
    async fn status(&mut self) -> Result<String, Trouble> {
        let line = said(&self.wire.line().await?);
        if let Some(text) = line.strip_prefix("+OK") {
            Ok(text.trim().to_owned())
        } else if let Some(text) = line.strip_prefix("-ERR") {
            Err(Trouble::Refused(text.trim().to_owned()))
        } else {
            Err(NONSENSE)
        }
    }

    /// The lines up to the one with a single dot; doubled dots are single again (RFC 1939, 3).
    async fn lines(&mut self) -> Result<Vec<Vec<u8>>, Trouble> {
        let mut lines = Vec::new();
        loop {
            let mut line = self.wire.line().await?;
            if line.first() == Some(&b'.') {
                line.remove(0);
                if line.is_empty() {
                    return Ok(lines);
                }
            }
            lines.push(line);
        }
    }
}

const NONSENSE: Trouble = Trouble::Odd("the server's answer is not understood");
