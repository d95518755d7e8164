//! `IMAP4rev1` (RFC 3501), as much as it takes to read and delete messages of INBOX.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{
    super::guard::Stream,
    session::{Handle, Limits, Listing, WINDOW, Waiting},
    wire::{Trouble, Wire, said},
};
use crate::domain::inbox::Position;

/// A conversation.
#[derive(Debug)]
pub(super) struct Imap<S> {
    wire: Wire<S>,
    limits: Limits,
    tags: u32,
    capabilities: Vec<String>,
    /// How many messages there are, and what their UIDs belong to.
    exists: u64,
    uid_validity: u32,
}

/// One thing that a server says: a line, in which literals stand apart.
#[derive(Debug, Default)]
struct Item {
    text: Vec<u8>,
    literals: Vec<Vec<u8>>,
}

impl Item {
    fn starts_with(&self, words: &str) -> bool {
        self.text
            .get(..words.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(words.as_bytes()))
    }

    fn after(&self, words: &str) -> String {
        said(self.text.get(words.len()..).unwrap_or_default())
    }

    /// The number after a word, such as `UID`.
    fn number(&self, word: &str) -> Option<u64> {
        let text = said(&self.text).to_ascii_uppercase();
        let at = text.find(&format!("{word} "))? + word.len() + 1;
        let digits = text.get(at..)?.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }
}

impl<S: Stream> Imap<S> {
    /// Over a connection on which the greeting is next, where one is to come.
    pub(super) async fn begin(wire: Wire<S>, limits: Limits, greeted: bool) -> Result<Self, Trouble> {
        let mut imap = Self {
            wire,
            limits,
            tags: 0,
            capabilities: Vec::new(),
            exists: 0,
            uid_validity: 0,
        };
        if !greeted {
            let greeting = imap.item().await?;
            if !greeting.starts_with("* OK") {
                let words = if greeting.starts_with("* BYE ") {
                    "* BYE "
                } else {
                    ""
                };
                return Err(Trouble::Refused(greeting.after(words)));
            }
        }
        let answer = imap.command("CAPABILITY", limits.line).await?;
        imap.capabilities = answer
            .iter()
            .filter(|item| item.starts_with("* CAPABILITY "))
            .flat_map(|item| {
                let words = item.after("* CAPABILITY ").to_ascii_uppercase();
                words.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        Ok(imap)
    }

    /// STARTTLS; gives the stream on which the handshake comes next.
    pub(super) async fn start_tls(mut self) -> Result<S, Trouble> {
        if !self.offers("STARTTLS") {
            return Err(Trouble::Odd("the server does not offer STARTTLS"));
        }
        self.command("STARTTLS", self.limits.line).await?;
        self.wire.into_stream()
    }

    /// What the server offers, for people.
    pub(super) fn offered(&self) -> String {
        self.capabilities.join(" ")
    }

    /// Logs in: AUTHENTICATE PLAIN (RFC 4616) where it is offered, else LOGIN.
    pub(super) async fn log_in(&mut self, username: &str, secret: &str) -> Result<(), Trouble> {
        let quotable = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if self.offers("AUTH=PLAIN") {
            let tag = self.say("AUTHENTICATE PLAIN").await?;
            let next = self.item().await?;
            if !next.starts_with("+") {
                return Err(refusal(&tag, &next));
            }
            let plain = Zeroizing::new(format!("\0{username}\0{secret}"));
            let line = Zeroizing::new(STANDARD.encode(plain.as_bytes()) + "\r\n");
            self.wire.send(line.as_bytes(), self.limits.line).await?;
            self.answer(&tag).await?;
            return Ok(());
        }
        if self.offers("LOGINDISABLED") || !quotable(username) || !quotable(secret) {
            return Err(Trouble::Odd(
                "the server offers no login that can carry this password",
            ));
        }
        let line = Zeroizing::new(format!("LOGIN {} {}", *quoted(username), *quoted(secret)));
        let tag = self.say(&line).await?;
        self.answer(&tag).await?;
        Ok(())
    }

    /// Opens INBOX, to delete from it or only to look.
    pub(super) async fn select(&mut self, to_delete: bool) -> Result<String, Trouble> {
        let command = if to_delete {
            "SELECT INBOX"
        } else {
            "EXAMINE INBOX"
        };
        for item in self.command(command, self.limits.line).await? {
            let text = said(&item.text);
            if let Some(count) = text
                .strip_prefix("* ")
                .and_then(|rest| rest.strip_suffix(" EXISTS"))
            {
                self.exists = count.parse().map_err(|_| NONSENSE)?;
            }
            if let Some(validity) = item.number("[UIDVALIDITY") {
                self.uid_validity = u32::try_from(validity).map_err(|_| NONSENSE)?;
            }
        }
        Ok(format!("{} messages", self.exists))
    }

    /// What was not read yet, oldest first, among the newest messages.
    pub(super) async fn list(&mut self, position: &mut Position) -> Result<Listing, Trouble> {
        if position.uid_validity != self.uid_validity {
            position.uid_validity = self.uid_validity;
            position.last_uid = 0;
        }
        if self.exists == 0 {
            return Ok(Listing::default());
        }
        let first = self.exists.saturating_sub(WINDOW - 1).max(1);
        let command = format!("FETCH {first}:* (UID RFC822.SIZE)");
        let mut fresh = Vec::new();
        for item in self.command(&command, self.limits.list).await? {
            let (Some(uid), Some(size)) = (item.number("UID"), item.number("RFC822.SIZE")) else {
                continue;
            };
            let uid = u32::try_from(uid).map_err(|_| NONSENSE)?;
            if uid > position.last_uid {
                fresh.push(Waiting {
                    handle: Handle::Uid(uid),
                    size,
                });
            }
        }
        fresh.sort_by_key(|waiting| waiting.handle);
        Ok(Listing {
            fresh,
            present: Vec::new(),
        })
    }

    /// A message; empty where it is gone.
    pub(super) async fn fetch(&mut self, uid: u32) -> Result<Vec<u8>, Trouble> {
        let command = format!("UID FETCH {uid} (BODY.PEEK[])");
        let answer = self.command(&command, self.limits.message).await?;
        let body = answer
            .into_iter()
            .filter(|item| item.number("UID") == Some(uid.into()))
            .find_map(|item| item.literals.into_iter().next());
        Ok(body.unwrap_or_default())
    }

    /// Deletes messages for good, with UIDPLUS (RFC 4315) these alone, else with them what others have marked.
    pub(super) async fn delete(&mut self, uids: &[u32]) -> Result<(), Trouble> {
        let set: Vec<String> = uids.iter().map(u32::to_string).collect();
        let set = set.join(",");
        let store = format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)");
        self.command(&store, self.limits.list).await?;
        let expunge = if self.offers("UIDPLUS") {
            format!("UID EXPUNGE {set}")
        } else {
            "EXPUNGE".to_owned()
        };
        self.command(&expunge, self.limits.list).await?;
        Ok(())
    }

    /// LOGOUT, for the sake of good manners.
    pub(super) async fn log_out(mut self) {
        let _ = self.command("LOGOUT", self.limits.line).await;
    }

    fn offers(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known == capability)
    }

    /// Says a command and reads its answer.
    async fn command(&mut self, text: &str, allowance: super::wire::Allowance) -> Result<Vec<Item>, Trouble> {
        let tag = self.tag();
        let line = format!("{tag} {text}\r\n");
        self.wire.send(line.as_bytes(), allowance).await?;
        self.answer(&tag).await
    }

    /// Says a command; its answer is still to be read.
    async fn say(&mut self, text: &str) -> Result<String, Trouble> {
        let tag = self.tag();
        let line = Zeroizing::new(format!("{tag} {text}\r\n"));
        self.wire.send(line.as_bytes(), self.limits.line).await?;
        Ok(tag)
    }

    fn tag(&mut self) -> String {
        self.tags += 1;
        format!("A{}", self.tags)
    }

    /// Everything up to the line that ends the command of this tag.
    async fn answer(&mut self, tag: &str) -> Result<Vec<Item>, Trouble> {
        let mut items = Vec::new();
        loop {
            let item = self.item().await?;
            if item.starts_with("* ") {
                items.push(item);
            } else if item.starts_with(&format!("{tag} OK")) {
                return Ok(items);
            } else {
                return Err(refusal(tag, &item));
            }
        }
    }

    async fn item(&mut self) -> Result<Item, Trouble> {
        let mut item = Item::default();
        loop {
            let line = self.wire.line().await?;
            item.text.extend_from_slice(&line);
            match literal(&line) {
                None => return Ok(item),
                Some(length) => item.literals.push(self.wire.take(length).await?),
            }
        }
    }
}

const NONSENSE: Trouble = Trouble::Odd("the server's answer is not understood");

/// What an answer that is not OK means.
fn refusal(tag: &str, item: &Item) -> Trouble {
    for no in ["NO", "BAD"].map(|word| format!("{tag} {word}")) {
        if item.starts_with(&no) {
            return Trouble::Refused(item.after(&no));
        }
    }
    NONSENSE
}

/// The length of the literal that a line announces at its end (RFC 3501, 4.3).
fn literal(line: &[u8]) -> Option<usize> {
    let open = line.iter().rposition(|byte| *byte == b'{')?;
    let digits = line.get(open + 1..)?.strip_suffix(b"}")?;
    str::from_utf8(digits).ok()?.parse().ok()
}

fn quoted(text: &str) -> Zeroizing<String> {
    let escaped = Zeroizing::new(text.replace('\\', "\\\\").replace('"', "\\\""));
    Zeroizing::new(format!("\"{}\"", *escaped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_announced_at_the_end_of_a_line() {
        assert_eq!(literal(b"* 1 FETCH (BODY[] {12}"), Some(12));
        for none in [
            &b"* OK {12} x"[..],
            b"{}",
            b"{-1}",
            b"{x}",
            b"{99999999999999999999}",
            b"",
        ] {
            assert_eq!(literal(none), None);
        }
    }

    #[test]
    fn numbers_stand_after_their_word() {
        let item = Item {
            text: b"* 3 FETCH (FLAGS () UID 17 RFC822.SIZE 4711)".to_vec(),
            literals: Vec::new(),
        };
        assert_eq!(
            (item.number("UID"), item.number("RFC822.SIZE")),
            (Some(17), Some(4711))
        );
        assert_eq!(item.number("MODSEQ"), None);
    }

    #[test]
    fn quotes_are_escaped() {
        assert_eq!(*quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
