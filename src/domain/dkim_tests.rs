use super::*;

fn place() -> Place {
    Place {
        selector: "brisbane".into(),
        domain: "football.example.com".into(),
    }
}

#[test]
fn bodies_are_relaxed_as_the_standard_says() {
    // RFC 6376, 3.4.5, and the hash of no body at all (3.4.4).
    assert_eq!(relaxed_body(" C \r\nD \t E\r\n\r\n\r\n"), " C\r\nD E\r\n");
    for (body, relaxed) in [
        ("", ""),
        ("\r\n\r\n", ""),
        (" \r\n", ""),
        ("a", "a\r\n"),
        ("a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"),
        ("  a\t\tb  \r\n", " a b\r\n"),
    ] {
        assert_eq!(relaxed_body(body), relaxed, "{body:?}");
    }
    assert_eq!(
        STANDARD.encode(Sha256::digest("")),
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    );
}

#[test]
fn headers_are_relaxed_as_the_standard_says() {
    let found = headers("A: X\r\nB : Y\t\r\n\tZ  ");
    let expected = [("a", "X"), ("b", "Y Z")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(found, expected);
}

#[test]
fn the_body_hash_is_that_of_the_standard() {
    // RFC 8463, appendix A.3.
    let body = "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
    let message = format!("From: Joe SixPack <joe@football.example.com>\r\n\r\n{body}");
    let unsigned = unsigned(&message, &place(), Algorithm::Ed25519, Timestamp::from_micros(0)).unwrap();
    assert!(
        unsigned
            .header
            .contains("bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="),
        "{}",
        unsigned.header
    );
    assert_eq!(unsigned.data.len(), 32);
}

#[test]
fn what_must_not_change_or_be_added_is_signed() {
    let message =
        "From: a\r\nX-Other: x\r\nSubject: one\r\nSubject: two\r\nContent-Type: text/plain\r\n\r\nx\r\n";
    let at = Timestamp::from_micros(1_767_323_045_000_000);
    let made = unsigned(message, &place(), Algorithm::Rsa, at).unwrap();
    let data = String::from_utf8(made.data.clone()).unwrap();
    let (lines, own) = data.split_once("dkim-signature:").unwrap();
    assert_eq!(
        lines,
        "from:a\r\nsubject:two\r\nsubject:one\r\ncontent-type:text/plain\r\n"
    );
    let tags = "v=1; a=rsa-sha256; c=relaxed/relaxed; t=1767323045; d=football.example.com; s=brisbane; \
                h=from:subject:subject:content-type:from:to:subject:date:message-id: reply-to:mime-version:content-type;";
    assert!(own.starts_with(tags), "{own}");
    assert!(own.ends_with("; b="));
    let header = made.signed(&[7; 256]);
    assert!(
        header.lines().all(|line| line.len() <= 78) && header.ends_with("\r\n"),
        "{header}"
    );
    assert_eq!(
        header.matches("\r\n").count(),
        header.matches("\r\n ").count() + 1
    );
}

#[test]
fn selectors_are_labels() {
    for good in ["mf1", "2026-11.otp", "A"] {
        assert_eq!(Place::selector(good), Ok(good.to_ascii_lowercase()));
    }
    let long = "a".repeat(64);
    for bad in [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a_b",
        "a b",
        "ä",
        "a;b",
        "a\r\nb",
        long.as_str(),
    ] {
        assert_eq!(Place::selector(bad), Err(SelectorError), "{bad:?}");
    }
    assert_eq!(place().record_name(), "brisbane._domainkey.football.example.com");
}
