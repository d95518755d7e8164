//! How to talk to the mail server: names, certificates, patience.

use std::{net::IpAddr, time::Duration};

use super::{AccountDraft, Check};
use crate::domain::account::{
    Link, Server,
    texts::{check_authorities, check_host},
};

/// The longest an account may let one stage take; the service's own limits are shorter still.
const LONGEST: Duration = Duration::from_mins(1);

impl Check<'_> {
    pub(super) fn link(&mut self, draft: &AccountDraft, server: Option<&Server>) -> Option<Link> {
        let mut name = |field, text: &str| match text {
            "" => Some(None),
            text => self.field(field, check_host(text)).map(Some),
        };
        let hello_name = name("hello_name", &draft.hello_name.replace("[IPv6:", "["));
        let server_name = name("server_name", &draft.server_name);
        let authorities = match draft.ca_certificates.as_str() {
            "" => Some(None),
            pem => self.field("ca_certificates", check_authorities(pem)).map(Some),
        };
        let timeout = match draft.timeout {
            Some(span) if !(Duration::from_secs(1)..=LONGEST).contains(&span) => {
                self.fault("timeout", "must be between 1 s and 60 s");
                None
            }
            timeout => Some(timeout),
        };
        let identity = self.identity(draft, server);
        Some(Link {
            identity,
            // In brackets, as the command wants an address (RFC 5321, 4.1.3).
            hello_name: hello_name?.map(|name| match name.parse() {
                Ok(IpAddr::V4(address)) => format!("[{address}]"),
                Ok(IpAddr::V6(address)) => format!("[IPv6:{address}]"),
                Err(_) => name,
            }),
            server_name: server_name?,
            authorities: authorities?,
            any_certificate: draft.ignore_certificate_errors,
            timeout: timeout?,
        })
    }
}
