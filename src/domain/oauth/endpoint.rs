//! Token endpoints: `https` URLs (RFC 6749, 3.2), or `http` on the service's own machine.

use std::{fmt, net::IpAddr};

use crate::domain::text::is_plain;

/// The most bytes of one.
const MOST: usize = 2048;

/// Why a text is no token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No URL at all.
    #[error("must be a URL such as https://login.example.com/oauth2/token, up to 2,048 characters")]
    Malformed,
    /// Not encrypted, and elsewhere.
    #[error("must begin with https://; http:// is for this machine alone")]
    Plain,
    /// A password in the URL, or what no server is told.
    #[error("must have neither a user nor a fragment")]
    Extra,
}

/// A token endpoint.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenEndpoint {
    url: String,
    /// Whether it is reached by TLS.
    pub tls: bool,
    /// A domain name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl TokenEndpoint {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        if text.len() > MOST || !text.is_ascii() || text.contains(|c: char| !is_plain(c) || c == ' ') {
            return Err(EndpointError::Malformed);
        }
        if text.contains('#') {
            return Err(EndpointError::Extra);
        }
        let uri: http::Uri = text.parse().map_err(|_| EndpointError::Malformed)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(EndpointError::Malformed),
        };
        let authority = uri.authority().ok_or(EndpointError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::Extra);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => Some(if tls { 443 } else { 80 }),
            _ => authority.port_u16().filter(|port| *port > 0),
        };
        let (false, Some(port)) = (host.is_empty(), port) else {
            return Err(EndpointError::Malformed);
        };
        if !tls && !is_here(host) {
            return Err(EndpointError::Plain);
        }
        Ok(Self {
            url: text.to_owned(),
            tls,
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// The whole URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// What stands in the request's line and in its Host header.
    #[must_use]
    pub fn target(&self) -> (String, String) {
        let uri: http::Uri = self.url.parse().unwrap_or_default();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        (path.to_owned(), authority.to_owned())
    }
}

impl fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{
        EndpointError::{Extra, Malformed, Plain},
        *,
    };

    #[test]
    fn endpoints_are_https_or_here() {
        for (text, host, port, path) in [
            (
                "https://login.example.com/a/token",
                "login.example.com",
                443,
                "/a/token",
            ),
            ("https://LOGIN.example.com:8443", "login.example.com", 8443, "/"),
            ("http://127.0.0.1:80/t?x=1", "127.0.0.1", 80, "/t?x=1"),
            ("http://[::1]:9/t", "::1", 9, "/t"),
            ("http://localhost/t", "localhost", 80, "/t"),
        ] {
            let endpoint = TokenEndpoint::parse(text).unwrap();
            assert_eq!((endpoint.host.as_str(), endpoint.port), (host, port), "{text}");
            assert_eq!(endpoint.target().0, path, "{text}");
            assert_eq!(endpoint.as_str(), text);
        }
        for (text, error) in [
            ("", Malformed),
            ("login.example.com/token", Malformed),
            ("ftp://login.example.com/", Malformed),
            ("https://", Malformed),
            ("https://a b/", Malformed),
            ("https://a\r\nb/", Malformed),
            ("https://a:0/", Malformed),
            ("https://a:99999/", Malformed),
            ("http://login.example.com/", Plain),
            ("http://localhost.example.com/", Plain),
            ("https://user:secret@a/", Extra),
            ("https://a/#b", Extra),
        ] {
            assert_eq!(TokenEndpoint::parse(text), Err(error), "{text:?}");
        }
    }
}
