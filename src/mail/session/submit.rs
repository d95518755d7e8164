//! Submitting a mail on a session: MAIL, RCPT, DATA, the message.
//!
//! A mail takes two round trips where the server offers PIPELINING (RFC 2920): MAIL, RCPT and DATA go out together, and
//! then the message. Elsewhere each command waits for its reply.
//!
//! Permission is asked for right before DATA is written. Where commands wait for each other, that is once the recipient was
//! accepted. In a group it is before the group, and so for a recipient of whom nothing is known yet. What is written down
//! stays true in both. Leave counts a copy of unknown fate, and the settlement takes the count back wherever the fate is
//! known, as it is up to the final dot: without it, no server delivers (RFC 5321, 4.1.1.4). What the mail is charged to the
//! limits of the account stays charged though its recipient is refused: providers count what they were asked to take, and we
//! stop early rather than late. Charging afterwards would let mails under way at the same time exceed the limits together,
//! and DATA in a group of its own would cost every mail a round trip for the sake of the refused ones.

use std::{future::Future, sync::Arc};

use super::{Condition, Session, Step};
use crate::{
    domain::delivery::{SendFailure, Stage},
    mail::{
        Clearance, MailSettings, Rendered,
        envelope::{Content, Envelope},
        journal::Journal,
        outcome::{Accepted, Unsent},
        permission::Permission,
        reply::Hidden,
    },
};

impl Session {
    /// Sends a mail.
    pub(in crate::mail) async fn send<F: Future<Output = Clearance> + Send>(
        &mut self,
        mail: &Rendered,
        settings: &MailSettings,
        permission: &mut Permission<'_, F>,
        journal: &mut Journal,
    ) -> Result<Accepted, Unsent> {
        let envelope = Envelope {
            sender: &mail.sender,
            recipient: &mail.recipient,
            content: Some(Content {
                size: mail.message.len(),
                eight_bit: !mail.message.is_ascii(),
                message_id: &mail.message_id,
            }),
        };
        journal.begin(Stage::Mail);
        let steps = self.steps(&envelope)?;
        if self.offers.has("PIPELINING") {
            permission.ask().await.map_err(Unsent::Withheld)?;
            self.invite_in_a_group(&steps, &mail.hidden, journal).await?;
        } else {
            self.one_by_one(&steps, &mail.hidden, journal).await?;
            journal.begin(Stage::Data);
            permission.ask().await.map_err(Unsent::Withheld)?;
            self.invite(&mail.hidden, journal).await?;
        }
        self.transmit(mail, settings, journal).await
    }

    /// DATA alone, up to the invitation to go on.
    async fn invite(&mut self, hidden: &Hidden, journal: &Journal) -> Result<(), SendFailure> {
        let answer = self.talk.ask("DATA\r\n").await;
        let answer = answer.map_err(|trouble| self.broken(hidden.trouble(&trouble, journal)))?;
        if answer.code() == 354 {
            return Ok(());
        }
        Err(self.refused(&answer, hidden, journal))
    }

    /// All commands and DATA in one write, and then their replies in order (RFC 2920, 3.1).
    async fn invite_in_a_group(
        &mut self,
        steps: &[Step],
        hidden: &Hidden,
        journal: &mut Journal,
    ) -> Result<(), SendFailure> {
        let mut group: String = steps.iter().map(|(_, command)| command.as_str()).collect();
        group.push_str("DATA\r\n");
        // Whatever cuts this short leaves replies behind that nobody asked for.
        self.condition = Condition::Broken;
        if let Err(trouble) = self.talk.say(&group).await {
            return Err(hidden.trouble(&trouble, journal));
        }
        // Why no message follows: the first reason counts, those after it only follow from it.
        let mut failed: Option<SendFailure> = None;
        for (stage, _) in steps {
            if failed.is_none() {
                journal.begin(*stage);
            }
            let answer = match self.talk.hear_next().await {
                Ok(answer) => answer,
                Err(trouble) => return Err(failed.unwrap_or_else(|| hidden.trouble(&trouble, journal))),
            };
            match hidden.completion(&answer, journal) {
                Ok(reply) if failed.is_none() => journal.passed(reply),
                Ok(_) => {}
                // Neither yes nor no, or the end (RFC 5321, 3.8): what comes next has no meaning.
                Err(refusal) if !answer.is_refusal() || answer.code() == 421 => {
                    return Err(failed.unwrap_or(refusal));
                }
                Err(refusal) => failed = failed.or(Some(refusal)),
            }
        }
        if failed.is_none() {
            journal.begin(Stage::Data);
        }
        let answer = match self.talk.hear_next().await {
            Ok(answer) => answer,
            Err(trouble) => return Err(failed.unwrap_or_else(|| hidden.trouble(&trouble, journal))),
        };
        match (answer.code(), failed) {
            (354, None) => Ok(()),
            (354, Some(failed)) => {
                // It waits for a message to nobody, which ends here and now: no journal expects this dot.
                if matches!(self.talk.ask(".\r\n").await, Ok(answer) if answer.code() != 421) {
                    self.condition = Condition::Open;
                }
                Err(failed)
            }
            (_, failed) => {
                let refused = self.refused(&answer, hidden, journal);
                Err(failed.unwrap_or(refused))
            }
        }
    }

    /// The message, which the server waits for, and the final dot, in one write.
    async fn transmit(
        &mut self,
        mail: &Rendered,
        settings: &MailSettings,
        journal: &mut Journal,
    ) -> Result<Accepted, Unsent> {
        let hidden = &mail.hidden;
        let payload = payload(&mail.message);
        let gauge = Arc::clone(self.talk.gauge());
        let end = gauge.written() + payload.len() as u64;
        journal.expect_dot(gauge, end);
        // If this is cut short, what follows would be read as part of the message.
        self.condition = Condition::Broken;
        let answer = async {
            self.talk.say_within(&payload, settings.accept_timeout).await?;
            self.talk.hear().await
        };
        let answer = answer
            .await
            .map_err(|trouble| hidden.trouble(&trouble, journal))?;
        if answer.code() != 421 && (answer.is_complete() || answer.is_refusal()) {
            self.condition = Condition::Clean;
        }
        let reply = hidden.completion(&answer, journal)?;
        Ok(Accepted {
            code: answer.code(),
            reply,
        })
    }
}

/// The message with leading dots doubled (RFC 5321, 4.5.2) and the final dot: one write, one packet more often than not.
fn payload(message: &str) -> String {
    let mut payload = String::with_capacity(message.len() + 64);
    if message.starts_with('.') {
        payload.push('.');
    }
    payload.push_str(&message.replace("\r\n.", "\r\n.."));
    if !payload.ends_with("\r\n") {
        payload.push_str("\r\n");
    }
    payload.push_str(".\r\n");
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_and_the_last_one_ends_it() {
        assert_eq!(payload("a\r\n.b\r\n..c\r\n"), "a\r\n..b\r\n...c\r\n.\r\n");
        assert_eq!(payload(".\r\n.\r\n.x"), "..\r\n..\r\n..x\r\n.\r\n");
    }
}
