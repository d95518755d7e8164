//! Limits of the post room, with their defaults, and what may be wrong with them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::IpRange;
use crate::{
    domain::account::{DefaultCredentials, Link, Login, Secret},
    secret_files::SecretFiles,
};

/// How mail is sent. The times are those of one stage, unless it says otherwise.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// The name this service gives in EHLO: a domain name, or an address in brackets (RFC 5321, 4.1.1.1).
    pub hello_name: String,
    /// The only addresses that may be connected to, looked at after the name was resolved; empty: all.
    pub egress: Vec<IpRange>,
    /// For resolving the server's name, and again for connecting by TCP.
    pub connect_timeout: Duration,
    /// For TLS, the STARTTLS exchange before it included.
    pub tls_timeout: Duration,
    /// For each command, from its first byte to the last of the reply; and for the greeting.
    pub command_timeout: Duration,
    /// For the message and the reply to its final dot.
    pub accept_timeout: Duration,
    /// For a token endpoint, from resolving its name to the last byte of its answer; resolving, connecting and TLS have
    /// the limits above within it. Also for the turn to use a refresh token.
    pub token_timeout: Duration,
    /// For the whole attempt. Must be less than [`crate::store::LEASE`] less 5 s.
    pub attempt_timeout: Duration,
    /// The most bytes of one reply, all lines together.
    pub reply_limit: usize,
    /// How many connections to an account's server there are at a time, and how many of them stay open.
    pub pool_size: usize,
    /// How long an unused connection stays open. Servers close theirs after 300 s (RFC 5321, 4.5.3.2.7), many earlier.
    pub pool_idle: Duration,
    /// A PEM file with further certificate authorities that mail servers' certificates may come from.
    pub extra_roots: Option<PathBuf>,
    /// What accounts with [`Secret::Default`] log in with.
    pub default_credentials: Option<DefaultCredentials>,
    /// The files that accounts, inboxes and DKIM keys may name.
    pub secret_files: Arc<SecretFiles>,
}

impl Default for MailSettings {
    fn default() -> Self {
        Self {
            hello_name: "localhost".into(),
            egress: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            tls_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(5),
            accept_timeout: Duration::from_secs(15),
            token_timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(20),
            reply_limit: 8 * 1024,
            pool_size: 8,
            pool_idle: Duration::from_secs(30),
            extra_roots: None,
            default_credentials: None,
            secret_files: Arc::default(),
        }
    }
}

impl MailSettings {
    /// The login that a mail server is shown: where an account has none of its own, the service's, if it was given one.
    pub(super) fn login_of(&self, login: &Login) -> Login {
        match &self.default_credentials {
            Some(given) if login.secret == Secret::Default => Login {
                username: given.username.clone(),
                secret: given.password.clone(),
            },
            _ => login.clone(),
        }
    }

    /// Those for one account: its own EHLO name, and no stage longer than it says.
    #[must_use]
    pub(super) fn of(&self, link: &Link) -> Self {
        let mut settings = self.clone();
        if let Some(name) = &link.hello_name {
            settings.hello_name.clone_from(name);
        }
        if let Some(most) = link.timeout {
            for span in [
                &mut settings.connect_timeout,
                &mut settings.tls_timeout,
                &mut settings.command_timeout,
                &mut settings.accept_timeout,
            ] {
                *span = most.min(*span);
            }
        }
        settings
    }
}

/// Why the post room cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The file with further certificate authorities cannot be read, or holds none.
    #[error("no certificates can be read from {}: {reason}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// TLS cannot be set up at all.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The name for EHLO would break the command.
    #[error("the EHLO name must be a domain name or an address in brackets")]
    HelloName,
}
