//! From an opened mail to a message: subject, text and HTML from templates, in the user's language.
//!
//! The HTML templates escape by themselves. Rendering reads neither clock nor randomness: a retry gives the same bytes.

use lettre::Address;
use minijinja::{Environment, Value, context};

use super::{
    Own,
    built_in::{self, LANGUAGES, language},
    compose::{Parts, compose, mailbox_address, refuse},
    footnote,
    own::{HIDDEN, MOST_MADE},
    reply::Hidden,
};
use crate::domain::{
    account::Sender,
    challenge::Purpose,
    client_address::client_address,
    clock::Timestamp,
    delivery::SendFailure,
    keyring::Keyring,
    label::{MOST_DEVICE, label, person},
    message::{CodeMail, Mail, TestMail},
    template::TemplateKey,
    text::{check_line, check_lines},
};

/// What a rendered mail is, apart from its content.
#[derive(Clone, Copy, Debug)]
pub struct Cover<'a> {
    /// Who it comes from.
    pub sender: &'a Sender,
    /// When it was accepted: its Date.
    pub submitted_at: Timestamp,
    /// Its Message-ID.
    pub message_id: &'a str,
}

/// A message ready to be sent.
#[derive(Clone)]
pub struct Rendered {
    /// Headers and body, lines ended by CR LF.
    pub message: String,
    /// The subject, with the code masked where a template put it there.
    pub masked_subject: String,
    pub(super) sender: Address,
    pub(super) recipient: Address,
    /// As in the message.
    pub(super) message_id: String,
    pub(super) hidden: Hidden,
    /// The administrator's template that broke, and how: the built-in one stood in for it.
    pub(super) broken_template: Option<String>,
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rendered({} bytes)", self.message.len())
    }
}

/// Renders mails.
#[derive(Debug)]
pub struct Renderer {
    environment: Environment<'static>,
    /// The language of whoever speaks none of the others.
    usual: &'static str,
    code_in_subject: bool,
}

impl Default for Renderer {
    fn default() -> Self {
        Self::new("")
    }
}

impl Renderer {
    /// With the templates that are built in. Whoever speaks none of their languages gets the default locale's, or
    /// English.
    #[must_use]
    pub fn new(default_locale: &str) -> Self {
        let [first, ..] = LANGUAGES;
        Self {
            environment: built_in::environment(),
            usual: language(default_locale).unwrap_or(first),
            code_in_subject: false,
        }
    }

    /// Whether subjects begin with the code.
    #[must_use]
    pub fn with_code_in_subject(mut self, shown: bool) -> Self {
        self.code_in_subject = shown;
        self
    }

    /// Renders a mail. Fails in [`crate::domain::delivery::Stage::Render`], for good.
    pub fn render(&self, mail: &Mail, cover: Cover<'_>, keyring: &Keyring) -> Result<Rendered, SendFailure> {
        self.render_from(mail, None, cover, keyring)
    }

    /// Renders a mail with a code from an administrator's template. Where that breaks, the built-in one is taken.
    pub fn render_from(
        &self,
        mail: &Mail,
        own: Option<&Own>,
        cover: Cover<'_>,
        keyring: &Keyring,
    ) -> Result<Rendered, SendFailure> {
        match mail {
            Mail::Code(mail) => self.code(mail, own, cover, keyring),
            Mail::Test(mail) => self.test(mail, cover),
        }
    }

    fn code(
        &self,
        mail: &CodeMail,
        own: Option<&Own>,
        cover: Cover<'_>,
        keyring: &Keyring,
    ) -> Result<Rendered, SendFailure> {
        let words = &mail.context;
        let key = keyring.code_key(&mail.key);
        let key = key.map_err(|error| refuse(format!("the code's key cannot be had: the mail {error}")))?;
        let code = key.derive(&mail.challenge, mail.number, mail.purpose, &mail.spec);
        let (lifetime, unit) = in_words(mail.lifetime_seconds);
        // A temporary password is seen on no locked screen and in no list of mails: its subjects never know it.
        let in_subject = self.code_in_subject && mail.purpose != Purpose::Recovery;
        let values = |shown: &str| {
            context! {
                user => person(&words.user),
                event => label(&words.event, MOST_DEVICE),
                endpoint => label(&words.endpoint, MOST_DEVICE),
                client_ip => client_address(&words.client_ip).map(|address| address.to_string()).unwrap_or_default(),
                otp => shown,
                number => mail.number,
                reference => mail.challenge.reference(),
                lifetime => lifetime,
                unit => unit,
            }
        };
        let subject_values = values(if in_subject { code.reveal() } else { HIDDEN });
        let values = values(code.reveal());
        let spoken = language(&words.locale).unwrap_or(self.usual);
        let (written, broken) =
            match own.map(|own| self.own_content(own, code.reveal(), &values, &subject_values)) {
                Some(Ok(content)) => (Some(content), None),
                Some(Err(broken)) => (None, Some(broken)),
                None => (None, None),
            };
        let content = if let Some(content) = written {
            content
        } else {
            let mut content = self.content(spoken, mail.purpose.name(), &values)?;
            if in_subject {
                content.subject = format!("{} - {}", code.reveal(), content.subject);
            }
            content
        };
        let mut hidden = Hidden::default();
        hidden.add(code.reveal());
        let mut rendered = content.message(cover, &words.recipient, hidden)?;
        rendered.broken_template = broken;
        Ok(rendered)
    }

    /// What an administrator's template makes of the values; or which template broke, and how.
    fn own_content(
        &self,
        own: &Own,
        code: &str,
        values: &Value,
        subject_values: &Value,
    ) -> Result<Content, String> {
        let told = |field: &str, what: &str| {
            let TemplateKey {
                purpose,
                event,
                language,
            } = &own.key;
            let name = purpose.name();
            format!(
                "the template ({name}, event {event:?}, language {language:?}) broke in its {field}: {what}"
            )
        };
        if let Some((field, why)) = &own.fault {
            return Err(told(field, why));
        }
        // The kind of the error alone: its details may show values.
        let sample = own
            .render(values, subject_values)
            .map_err(|(field, error)| told(field, &error.kind().to_string()))?;
        if !sample.text.contains(code) || (!sample.html.is_empty() && !sample.html.contains(code)) {
            return Err(told("text", "it shows no code"));
        }
        if sample.text.len().max(sample.html.len()) > MOST_MADE {
            return Err(told("text", "it is too long"));
        }
        if sample.subject.is_empty() || check_line(&sample.subject, 1000).is_err() {
            return Err(told("subject", "it is no line of text"));
        }
        if sample.subject.contains(HIDDEN) {
            return Err(told("subject", "it shows the code"));
        }
        let language = match own.key.language.as_str() {
            "" => built_in::tag(self.usual).to_owned(),
            language => language.to_owned(),
        };
        Ok(Content {
            language,
            subject: sample.subject,
            text: sample.text,
            html: sample.html,
        })
    }

    fn test(&self, mail: &TestMail, cover: Cover<'_>) -> Result<Rendered, SendFailure> {
        check_line(&mail.subject, 1000).map_err(|error| refuse(format!("subject {error}")))?;
        check_lines(&mail.text, 100_000).map_err(|error| refuse(format!("text {error}")))?;
        let paragraphs: Vec<String> = mail.text.split('\n').map(str::to_owned).collect();
        let values = context! { text => &mail.text, lines => paragraphs };
        let mut content = self.content(self.usual, "test", &values)?;
        if !mail.subject.trim().is_empty() {
            content.subject.clone_from(&mail.subject);
        }
        content.message(cover, &mail.recipient, Hidden::default())
    }

    fn content(&self, language: &'static str, name: &str, values: &Value) -> Result<Content, SendFailure> {
        let part = |kind: &str| {
            let template = self
                .environment
                .get_template(&format!("{language}/{name}.{kind}"));
            let rendered = template.and_then(|template| template.render(values));
            // The kind of the error alone: its details may show values.
            rendered.map_err(|error| refuse(format!("a template failed: {}", error.kind())))
        };
        Ok(Content {
            language: built_in::tag(language).to_owned(),
            subject: part("subject")?.trim().to_owned(),
            text: part("txt")?,
            html: part("html")?,
        })
    }
}

struct Content {
    language: String,
    subject: String,
    text: String,
    html: String,
}

impl Content {
    fn message(
        self,
        cover: Cover<'_>,
        recipient: &crate::domain::address::EmailAddress,
        mut hidden: Hidden,
    ) -> Result<Rendered, SendFailure> {
        let masked_subject = hidden.clean(&self.subject);
        hidden.add(recipient.as_str());
        let (mut text, mut html) = (self.text, self.html);
        if let Some(footnote) = cover.sender.shown_footnote() {
            check_lines(footnote, 100_000).map_err(|error| refuse(format!("footnote {error}")))?;
            footnote::append(footnote, &mut text, &mut html);
        }
        let message = compose(Parts {
            sender: cover.sender,
            recipient,
            date: cover.submitted_at,
            message_id: cover.message_id,
            language: &self.language,
            subject: &self.subject,
            text: &text,
            html: &html,
        })?;
        Ok(Rendered {
            message,
            masked_subject,
            sender: mailbox_address(cover.sender.envelope())?,
            recipient: mailbox_address(recipient)?,
            message_id: cover.message_id.to_owned(),
            hidden,
            broken_template: None,
        })
    }
}

/// A span in the largest unit that gives a whole number.
fn in_words(seconds: u64) -> (u64, &'static str) {
    match seconds {
        0 => (0, "second"),
        _ if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        _ if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_whole_units() {
        assert_eq!(in_words(300), (5, "minute"));
        assert_eq!(in_words(3600), (1, "hour"));
        assert_eq!(in_words(90), (90, "second"));
        assert_eq!(in_words(5400), (90, "minute"));
    }
}
