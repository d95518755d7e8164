//! Referrals: where a server says that there is more, or that it is all elsewhere. Followed only to the hosts that are
//! configured for it, one step, with the protection that the directory's own servers have.

use tokio::time::Instant;

use super::{
    LdapError, LdapRepository, LdapServer, Protection,
    connection::Findings,
    message::{Scope, Search},
};

/// Referrals followed for one search.
const MOST: usize = 4;

impl LdapRepository {
    /// Adds what the servers have that the search was referred to. One that does not answer makes the whole unknown: it
    /// might be the one that has the user; so does, where the `whole` is elsewhere, that nothing may be followed.
    pub(super) async fn follow(
        &self,
        search: &Search<'_>,
        mut found: Findings,
        whole: bool,
        until: Instant,
    ) -> Result<Findings, LdapError> {
        let mut followed = 0;
        for address in std::mem::take(&mut found.elsewhere) {
            let Some(target) = self.target(&address) else {
                continue;
            };
            if followed == MOST {
                return Err(LdapError::TooLong);
            }
            followed += 1;
            let there = Search {
                base: target.base.as_deref().unwrap_or(search.base),
                scope: target.scope.unwrap_or(search.scope),
                ..*search
            };
            let more = self.servers.ask_elsewhere(&target.server, &there, until).await?;
            found.entries.extend(more.entries);
        }
        if whole && followed == 0 {
            return Err(LdapError::Referral(Vec::new()));
        }
        Ok(found)
    }

    /// Where an address leads, if it may be followed.
    fn target(&self, address: &str) -> Option<Target> {
        let url = url::Url::parse(address).ok()?;
        let host = url.host_str()?;
        let hosts = &self.settings.referral_hosts;
        hosts.iter().find(|known| known.eq_ignore_ascii_case(host))?;
        let plain = self.settings.servers.first().map(|server| server.protection);
        // A server that is reached with TLS from the first byte is referred to by the other port: TLS is started there.
        let plain = match plain {
            Some(Protection::Plain) => Protection::Plain,
            _ => Protection::StartTls,
        };
        let server = match url.port() {
            Some(port) => format!("{}://{host}:{port}", url.scheme()),
            None => format!("{}://{host}", url.scheme()),
        };
        let base = url.path().trim_start_matches('/');
        let base = decode(base)?;
        let scope = match url.query().unwrap_or_default().split('?').nth(1) {
            Some("base") => Some(Scope::Base),
            Some("one") => Some(Scope::One),
            Some("sub") => Some(Scope::Sub),
            _ => None,
        };
        Some(Target {
            server: LdapServer::parse(&server, plain).ok()?,
            base: Some(base).filter(|base| !base.is_empty()),
            scope,
        })
    }
}

struct Target {
    server: LdapServer,
    base: Option<String>,
    scope: Option<Scope>,
}

/// A text without its `%XX` (RFC 4516, 2.1).
fn decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}
