//! What a token endpoint answers: a token (RFC 6749, 5.1), or why there is none (5.2).

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    domain::delivery::{FailureKind, SendFailure, Stage},
    mail::reply::Hidden,
};

/// How long a token of unsaid lifetime counts as good.
const UNSAID: Duration = Duration::from_mins(5);

/// No token is kept for longer, whatever its lifetime.
const LONGEST: Duration = Duration::from_hours(24);

/// The longest token: what the longest line of an authentication may carry (RFC 4954, 4).
const MOST_TOKEN: usize = 8 * 1024;

/// A token that was granted.
pub(super) struct Granted {
    /// The access token: visible ASCII.
    pub(super) access: Zeroizing<String>,
    /// For how long it is good, counted from when it was asked for.
    pub(super) lifetime: Duration,
    /// The refresh token that takes the place of the one that was used.
    pub(super) refresh: Option<Zeroizing<String>>,
}

#[derive(Deserialize)]
struct Success {
    access_token: Zeroizing<String>,
    token_type: Option<String>,
    expires_in: Option<Seconds>,
    refresh_token: Option<Zeroizing<String>>,
}

/// A number, or, as some servers write it, a number in quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

/// Reads an answer. `hidden` holds what the failure must not repeat.
pub(super) fn read(status: u16, body: &[u8], hidden: &Hidden) -> Result<Granted, SendFailure> {
    if status == 200 {
        return granted(body).map_err(|text| failed(None, text, hidden));
    }
    if (300..400).contains(&status) {
        let text =
            format!("the token endpoint answers with a redirect (HTTP {status}), which is not followed");
        return Err(failed(None, &text, hidden));
    }
    let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
        let text = format!("the token endpoint answers with HTTP {status} and no OAuth error");
        return Err(failed(None, &text, hidden));
    };
    let description = refusal.error_description.unwrap_or_default();
    let text = if description.is_empty() {
        format!("{} (HTTP {status})", refusal.error)
    } else {
        format!("{}: {description} (HTTP {status})", refusal.error)
    };
    // 408 and 429 ask for patience, and so do these two errors, whatever the status.
    let later = !(400..500).contains(&status)
        || matches!(status, 408 | 429)
        || matches!(refusal.error.as_str(), "temporarily_unavailable" | "server_error");
    Err(failed((!later).then_some(status), &text, hidden))
}

/// A failure in the token stage. `refused`: the status with which the token endpoint refused for good.
pub(super) fn failed(refused: Option<u16>, text: &str, hidden: &Hidden) -> SendFailure {
    SendFailure {
        stage: Stage::Token,
        kind: FailureKind::Temporary,
        code: refused,
        reply: hidden.clean(text),
    }
}

fn granted(body: &[u8]) -> Result<Granted, &'static str> {
    // The reader's own words may repeat parts of the body.
    let answer: Success =
        serde_json::from_slice(body).map_err(|_| "the token endpoint's answer holds no access token")?;
    let bearer = |kind: &String| kind.eq_ignore_ascii_case("bearer");
    if !answer.token_type.as_ref().is_none_or(bearer) {
        return Err("the token endpoint grants tokens of another type than Bearer");
    }
    let token = answer.access_token;
    if token.is_empty() || token.len() > MOST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token endpoint's access token has an impossible form");
    }
    let lifetime = match answer.expires_in {
        None => UNSAID,
        Some(Seconds::Number(seconds)) => lifetime(seconds)?,
        Some(Seconds::Text(text)) => lifetime(text.trim().parse().unwrap_or(-1.0))?,
    };
    let refresh = answer.refresh_token.filter(|token| !token.is_empty());
    if refresh
        .as_ref()
        .is_some_and(|token| token.len() > crate::domain::oauth::MOST_SECRET)
    {
        return Err("the token endpoint's refresh token is too long to be kept");
    }
    Ok(Granted {
        access: token,
        lifetime,
        refresh,
    })
}

fn lifetime(seconds: f64) -> Result<Duration, &'static str> {
    if seconds > 0.0 {
        Ok(Duration::try_from_secs_f64(seconds)
            .unwrap_or(LONGEST)
            .min(LONGEST))
    } else {
        Err("the token endpoint's access token has an impossible lifetime")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> SendFailure {
        let mut hidden = Hidden::default();
        hidden.add("s3cret");
        read(status, body.as_bytes(), &hidden).err().unwrap()
    }

    #[test]
    fn a_grant_is_read_with_its_lifetime() {
        let read = |body: &str| read(200, body.as_bytes(), &Hidden::default());
        for (expires, seconds) in [
            ("", 300),
            (r#","expires_in":3599"#, 3599),
            (r#","expires_in":"3599""#, 3599),
            (r#","expires_in":3599.0"#, 3599),
            (r#","expires_in":1e300"#, 86_400),
        ] {
            let body = format!(r#"{{"access_token":"abc","token_type":"bearer"{expires},"x":[1]}}"#);
            let granted = read(&body).ok().unwrap();
            assert_eq!(granted.lifetime, Duration::from_secs(seconds), "{body}");
            assert_eq!(*granted.access, "abc");
            assert!(granted.refresh.is_none());
        }
        let both = read(r#"{"access_token":"abc","refresh_token":"def"}"#)
            .ok()
            .unwrap();
        assert_eq!(both.refresh.unwrap().as_str(), "def");
    }

    #[test]
    fn what_is_no_grant_is_told_without_repeating_it() {
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"access_token":""}"#,
            r#"{"access_token":"a\u0001b"}"#,
            r#"{"access_token":"a b"}"#,
            r#"{"access_token":"a","token_type":"mac"}"#,
            r#"{"access_token":"a","expires_in":0}"#,
            r#"{"access_token":"a","expires_in":"soon"}"#,
        ] {
            let failure = refused(200, body);
            assert_eq!((failure.stage, failure.code), (Stage::Token, None));
            assert!(!failure.is_rejection(), "{body}");
            assert!(
                failure.reply.starts_with("the token endpoint"),
                "{}",
                failure.reply
            );
        }
    }

    #[test]
    fn errors_are_cleaned_and_those_for_good_are_rejections() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215:\r\nInvalid \u202e secret 'S3cret'."}"#;
        let failure = refused(401, body);
        assert_eq!(
            failure.reply,
            "invalid_client: AADSTS7000215:  Invalid   secret '[...]'. (HTTP 401)"
        );
        assert!(failure.is_rejection());
        assert_eq!(failure.kind, FailureKind::Temporary);
        assert!(refused(400, r#"{"error":"invalid_grant"}"#).is_rejection());
        for (status, body) in [
            (400, r#"{"error":"temporarily_unavailable"}"#),
            (429, r#"{"error":"invalid_client"}"#),
            (503, r#"{"error":"invalid_client"}"#),
            (500, "oops"),
            (404, "<html>not found</html>"),
            (302, ""),
        ] {
            assert!(!refused(status, body).is_rejection(), "{status}");
        }
    }
}
