//! The body of a request to a token endpoint: `application/x-www-form-urlencoded` (RFC 6749, appendix B).

use zeroize::Zeroizing;

/// A form under way.
#[derive(Default)]
pub(super) struct Form(Zeroizing<String>);

impl Form {
    /// Adds a field.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        encode(name, &mut self.0);
        self.0.push('=');
        encode(value, &mut self.0);
    }

    /// The body.
    pub(super) fn into_body(self) -> Zeroizing<String> {
        self.0
    }
}

/// A text as it stands in a form, and in the parts of HTTP Basic (RFC 6749, 2.3.1).
pub(super) fn encoded(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::new());
    encode(text, &mut out);
    out
}

fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else if byte == b' ' {
            out.push('+');
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from(HEX.get(usize::from(digit)).copied().unwrap_or(b'0')));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_break_out() {
        let mut form = Form::default();
        form.add("scope", "https://mail.google.com/ a");
        form.add("client_secret", "a&b=c%+é\n");
        assert_eq!(
            *form.into_body(),
            "scope=https%3A%2F%2Fmail.google.com%2F+a&client_secret=a%26b%3Dc%25%2B%C3%A9%0A"
        );
    }
}
