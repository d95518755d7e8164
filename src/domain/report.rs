//! Reports: what a mail server or a mail program tells of a mail after it was taken.

use super::clock::Timestamp;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReportKind {
    /// It came back for good (RFC 3464, 2.3.3: `failed`).
    Bounced,
    /// It is still being tried (`delayed`).
    Delayed,
    /// It was shown to somebody (RFC 8098, 3.2.6.2: `displayed`).
    Read,
}

impl ReportKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bounced, Self::Delayed, Self::Read];

    /// Its name in metrics and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bounced => "bounced",
            Self::Delayed => "delayed",
            Self::Read => "read",
        }
    }

    /// The number that stands for it in the store.
    #[must_use]
    pub const fn tag(self) -> i64 {
        match self {
            Self::Bounced => 1,
            Self::Delayed => 2,
            Self::Read => 3,
        }
    }

    /// The kind of a tag.
    #[must_use]
    pub fn from_tag(tag: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag)
    }
}

/// A report on one of our mails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is told.
    pub kind: ReportKind,
    /// The enhanced status code (RFC 3463) or the reply code, such as `5.1.1` or `550`; empty where there is none.
    pub status: String,
    /// What the server said: one line of 512 bytes at the most, without addresses. May be empty.
    pub text: String,
    /// When it was read.
    pub received_at: Timestamp,
}

impl Report {
    /// In one line, for the entry it is about.
    #[must_use]
    pub fn line(&self) -> String {
        let status = [self.status.as_str(), self.text.as_str()];
        let said: Vec<&str> = status.into_iter().filter(|part| !part.is_empty()).collect();
        if said.is_empty() {
            self.kind.name().to_owned()
        } else {
            format!("{}: {}", self.kind.name(), said.join(" "))
        }
    }
}
