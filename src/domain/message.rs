//! What the outbox carries: enough to render a mail when it is sent, and no code.

use serde::{Deserialize, Serialize};

use super::{
    account::Replies,
    address::{AddressError, EmailAddress, LocalPart},
    asked::Asked,
    challenge::Purpose,
    code::CodeSpec,
    id::{AccountId, ChallengeId, EntryId},
    keyring::KeyId,
};

/// The Message-ID (RFC 5322, 3.6.4) of an outbox entry's mail: the same for every copy. In hexadecimal, because an
/// identifier in base64url may have hyphens where some servers want none.
#[must_use]
pub fn message_id(entry: &EntryId, domain: &str) -> String {
    use std::fmt::Write as _;
    let mut id = String::from("<");
    for byte in entry.as_bytes() {
        // Writing to a string cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id + "@" + domain + ">"
}

/// The entry whose mail has this Message-ID, if it is shaped like one of ours; angle brackets may be missing.
#[must_use]
pub fn entry_of(message_id: &str) -> Option<EntryId> {
    let bare = message_id.trim().trim_start_matches('<').trim_end_matches('>');
    let (hexadecimal, _) = bare.split_once('@')?;
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let digits: Vec<u8> = hexadecimal
        .bytes()
        .map(|byte| digit(&byte))
        .collect::<Option<_>>()?;
    let mut bytes = [0; 16];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |value, digit| value << 4 | digit);
    }
    Some(EntryId::from_bytes(bytes))
}

/// Whom a code goes to and what the mail says of the request. Sealed wherever it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailContext {
    /// The recipient, as the repository holds it.
    pub recipient: EmailAddress,
    /// How the mail addresses the user: the repository's display name, or the name that was given.
    pub user: String,
    /// The endpoint, as the caller named it; may be empty.
    pub endpoint: String,
    /// The event; may be empty.
    pub event: String,
    /// The language, a BCP 47 tag.
    pub locale: String,
    /// Where the user comes from; may be empty.
    pub client_ip: String,
    /// Where the caller wants answers to go.
    pub replies: Replies,
    /// Who was asked for. Kept with the challenge; no mail needs it.
    pub asked: Option<Asked>,
}

/// A mail to be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every mail is one with a code")]
pub enum Mail {
    /// One with a code.
    Code(CodeMail),
    /// A test message.
    Test(TestMail),
}

/// A mail with a code: everything the code is derived from, but the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeMail {
    /// The challenge.
    pub challenge: ChallengeId,
    /// The code's number.
    pub number: u32,
    /// What the code is for.
    pub purpose: Purpose,
    /// How it looks.
    pub spec: CodeSpec,
    /// The key it is derived under.
    pub key: KeyId,
    /// How long it lives, in whole seconds, for the text.
    pub lifetime_seconds: u64,
    /// The rest.
    pub context: MailContext,
    /// The name of the account it is to go through; `None`: the default one.
    pub account: Option<String>,
}

/// A test message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestMail {
    /// The recipient.
    pub recipient: EmailAddress,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The account it must go through, enabled or not.
    pub account: AccountId,
}

impl Mail {
    /// Its recipient.
    #[must_use]
    pub fn recipient(&self) -> &EmailAddress {
        match self {
            Self::Code(mail) => &mail.context.recipient,
            Self::Test(mail) => &mail.recipient,
        }
    }

    /// As bytes, to be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let form = match self {
            Self::Code(mail) => MailForm::Code(CodeForm::of(mail)),
            Self::Test(mail) => MailForm::Test(TestForm::of(mail)),
        };
        // A form holds strings and numbers alone: it always serialises.
        serde_json::to_vec(&form).unwrap_or_default()
    }

    /// From opened bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormError> {
        match serde_json::from_slice(bytes).map_err(|_| FormError)? {
            MailForm::Code(form) => form.mail().map(Self::Code),
            MailForm::Test(form) => form.mail().map(Self::Test),
        }
    }
}

impl MailContext {
    /// As bytes, to be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&ContextForm::of(self)).unwrap_or_default()
    }

    /// From opened bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormError> {
        serde_json::from_slice::<ContextForm>(bytes)
            .map_err(|_| FormError)?
            .context()
    }
}

/// Bytes that hold no mail: written by another version, or damaged before they were sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("holds no mail that this version understands")]
pub struct FormError;

impl From<AddressError> for FormError {
    fn from(_: AddressError) -> Self {
        Self
    }
}

/// The kept form: plain, so that it may outlive a change of the types above.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "nearly every mail is one with a code")]
enum MailForm {
    Code(CodeForm),
    Test(TestForm),
}

#[derive(Serialize, Deserialize)]
struct ContextForm {
    recipient: String,
    user: String,
    #[serde(default)]
    endpoint: String,
    #[serde(default)]
    event: String,
    locale: String,
    #[serde(default)]
    client_ip: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    return_path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confirmation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<Asked>,
}

#[derive(Serialize, Deserialize)]
struct CodeForm {
    challenge: String,
    number: u32,
    purpose: u8,
    alphabet: String,
    length: u8,
    key: String,
    lifetime_seconds: u64,
    context: ContextForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct TestForm {
    recipient: String,
    subject: String,
    text: String,
    account: String,
}

impl ContextForm {
    fn of(context: &MailContext) -> Self {
        let MailContext {
            recipient,
            user,
            endpoint,
            event,
            locale,
            client_ip,
            replies,
            asked,
        } = context.clone();
        let text = |address: Option<EmailAddress>| address.map(|address| address.as_str().to_owned());
        Self {
            recipient: recipient.as_str().to_owned(),
            user,
            endpoint,
            event,
            locale,
            client_ip,
            reply_to: text(replies.reply_to),
            return_path: text(replies.return_path),
            confirmation: text(replies.confirmation),
            asked,
        }
    }

    fn context(self) -> Result<MailContext, FormError> {
        let Self {
            recipient,
            user,
            endpoint,
            event,
            locale,
            client_ip,
            reply_to,
            return_path,
            confirmation,
            asked,
        } = self;
        let address = |text: String| EmailAddress::parse(&text, LocalPart::Utf8);
        let recipient = address(recipient)?;
        Ok(MailContext {
            recipient,
            user,
            endpoint,
            event,
            locale,
            client_ip,
            replies: Replies {
                reply_to: reply_to.map(address).transpose()?,
                return_path: return_path.map(address).transpose()?,
                confirmation: confirmation.map(address).transpose()?,
            },
            asked,
        })
    }
}

impl CodeForm {
    fn of(mail: &CodeMail) -> Self {
        Self {
            challenge: mail.challenge.to_string(),
            number: mail.number,
            purpose: mail.purpose.tag(),
            alphabet: mail.spec.alphabet().as_str().to_owned(),
            length: mail.spec.length(),
            key: mail.key.as_str().to_owned(),
            lifetime_seconds: mail.lifetime_seconds,
            context: ContextForm::of(&mail.context),
            account: mail.account.clone(),
        }
    }

    fn mail(self) -> Result<CodeMail, FormError> {
        Ok(CodeMail {
            challenge: self.challenge.parse().map_err(|_| FormError)?,
            number: self.number,
            purpose: Purpose::from_tag(self.purpose.into()).ok_or(FormError)?,
            spec: CodeSpec::kept(&self.alphabet, self.length).ok_or(FormError)?,
            key: KeyId::parse(&self.key).map_err(|_| FormError)?,
            lifetime_seconds: self.lifetime_seconds,
            context: self.context.context()?,
            account: self.account,
        })
    }
}

impl TestForm {
    fn of(mail: &TestMail) -> Self {
        let TestMail {
            recipient,
            subject,
            text,
            account,
        } = mail.clone();
        Self {
            recipient: recipient.as_str().to_owned(),
            subject,
            text,
            account: account.to_string(),
        }
    }

    fn mail(self) -> Result<TestMail, FormError> {
        let Self {
            recipient,
            subject,
            text,
            account,
        } = self;
        let recipient = EmailAddress::parse(&recipient, LocalPart::Utf8)?;
        Ok(TestMail {
            recipient,
            subject,
            text,
            account: account.parse().map_err(|_| FormError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{asked::UserId, code::Alphabet};
    use super::*;

    #[test]
    fn a_message_id_is_a_dot_atom_at_a_domain() {
        let id = message_id(&EntryId::from_bytes([0xfb; 16]), "example.com");
        assert_eq!(id, format!("<{}@example.com>", "fb".repeat(16)));
    }

    #[test]
    fn a_mail_survives_being_kept() {
        let context = MailContext {
            recipient: EmailAddress::parse("ann@example.com", LocalPart::Ascii).unwrap(),
            user: "Ann".into(),
            endpoint: "laptop".into(),
            event: "vpn".into(),
            locale: "de-CH".into(),
            client_ip: "192.0.2.1".into(),
            replies: Replies {
                return_path: EmailAddress::parse("bounces@example.com", LocalPart::Ascii).ok(),
                ..Replies::default()
            },
            asked: Some(Asked {
                name: "CORP\\ann".into(),
                within: None,
                user: Some(UserId {
                    repository: "staff".into(),
                    id: "4711".into(),
                }),
            }),
        };
        let code = Mail::Code(CodeMail {
            challenge: ChallengeId::from_bytes([7; 16]),
            number: 2,
            purpose: Purpose::Recovery,
            spec: CodeSpec::new(Alphabet::letters(), 8).unwrap(),
            key: KeyId::parse("k1").unwrap(),
            lifetime_seconds: 300,
            context: context.clone(),
            account: Some("payroll".into()),
        });
        let test = Mail::Test(TestMail {
            recipient: context.recipient.clone(),
            subject: "s".into(),
            text: "t\nu".into(),
            account: AccountId::from_bytes([3; 16]),
        });
        for mail in [code, test] {
            assert_eq!(Mail::from_bytes(&mail.to_bytes()), Ok(mail));
        }
        assert_eq!(MailContext::from_bytes(&context.to_bytes()), Ok(context));
        assert_eq!(Mail::from_bytes(b"{}"), Err(FormError));
    }
}
