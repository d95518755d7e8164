//! The account's footnote, below whatever a template makes: plain below the text, escaped below the HTML.

/// What parts the footnote from the text: a signature's (RFC 3676, 4.3).
const SEPARATOR: &str = "-- ";

/// Appends the footnote to both alternatives; a mail without HTML stays without.
pub(super) fn append(footnote: &str, text: &mut String, html: &mut String) {
    let kept = text.trim_end().len();
    text.truncate(kept);
    for part in ["\n\n", SEPARATOR, "\n", footnote, "\n"] {
        text.push_str(part);
    }
    if html.is_empty() {
        return;
    }
    let lines: Vec<String> = footnote.lines().map(escaped).collect();
    let note = format!(
        "<p style=\"margin:16px;font:13px/1.5 sans-serif;color:#767676;text-align:center\">{}</p>\n",
        lines.join("<br>\n")
    );
    // A template that closes no body gets it at the end.
    let end = html.rfind("</body>").unwrap_or(html.len());
    html.insert_str(end, &note);
}

fn escaped(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len());
    for character in line.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_below_both_and_opens_no_tag() {
        let (mut text, mut html) = ("code\n\n\n".to_owned(), "<body><p>code</p></body>".to_owned());
        append("Example & Co\n<b>", &mut text, &mut html);
        assert_eq!(text, "code\n\n-- \nExample & Co\n<b>\n");
        assert!(
            html.contains("Example &amp; Co<br>\n&lt;b&gt;</p>\n</body>"),
            "{html}"
        );
        html.clear();
        append("Example", &mut text, &mut html);
        assert_eq!(html, "");
    }
}
