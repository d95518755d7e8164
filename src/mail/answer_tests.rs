//! Replies out of bytes: what is one, what waits, what is none, and that the pieces do not matter.

use proptest::prelude::*;

use super::*;

fn all(bytes: &[u8], pieces: &[usize], limit: usize) -> (Vec<Answer>, Option<BadAnswer>, bool) {
    let mut answers = Answers::new(limit);
    let (mut taken, mut rest, mut pieces) = (Vec::new(), bytes, pieces.iter().cycle());
    loop {
        loop {
            match answers.take() {
                Ok(Some(answer)) => taken.push(answer),
                Ok(None) => break,
                Err(bad) => return (taken, Some(bad), answers.is_empty()),
            }
        }
        // The reply under way, and no more.
        assert!(answers.held.len() + answers.size <= limit);
        if rest.is_empty() {
            return (taken, None, answers.is_empty());
        }
        let (now, later) = rest.split_at((*pieces.next().unwrap()).clamp(1, rest.len()));
        answers.push(now);
        rest = later;
    }
}

fn whole(bytes: &[u8]) -> (Vec<Answer>, Option<BadAnswer>, bool) {
    all(bytes, &[usize::MAX], 1024)
}

#[test]
fn replies_end_where_they_end() {
    let (answers, bad, empty) = whole(b"250-a\r\n250 b\r\n220\r\n354 go\r\n2");
    assert_eq!((bad, empty), (None, false));
    let seen: Vec<_> = answers
        .iter()
        .map(|answer| (answer.code(), answer.lines().join("|")))
        .collect();
    assert_eq!(
        seen,
        [(250, "a|b".into()), (220, String::new()), (354, "go".into())]
    );
}

#[test]
fn what_is_not_whole_waits_and_what_is_no_reply_fails() {
    for part in [&b""[..], b"220 a", b"220 a\r", b"250-a\r\n", b"250-a\r\n250"] {
        let (answers, bad, empty) = whole(part);
        assert!(answers.is_empty() && bad.is_none());
        assert_eq!(empty, part.is_empty());
    }
    for bad in [
        &b"x\r\n"[..],
        b"HTTP/1.1 400\r\n",
        b"250x\r\n",
        b"999 a\r\n",
        b"+50 a\r\n",
        b"199 a\r\n",
        b"25\r\n",
        b"\r\n",
        b"220 a\n",
        b"250-a\r\n550 b\r\n",
    ] {
        assert_eq!(whole(bad).1, Some(BadAnswer::Odd), "{bad:?}");
    }
}

#[test]
fn a_reply_has_as_many_bytes_as_it_may_and_each_of_several_too() {
    let reply = b"250-abc\r\n250 d\r\n";
    assert_eq!(all(&reply.repeat(9), &[7], reply.len()).0.len(), 9);
    let (answers, bad, _) = all(reply, &[1], reply.len() - 1);
    assert!(answers.is_empty());
    assert_eq!(bad, Some(BadAnswer::TooLong(reply.len() - 1)));
    for endless in [&b"250-endless "[..], b"250-\r\n"] {
        assert_eq!(
            all(&endless.repeat(1000), &[5], 64).1,
            Some(BadAnswer::TooLong(64))
        );
    }
}

#[test]
fn the_enhanced_status_code_is_told_once() {
    let said = |bytes: &[u8]| {
        let answer = whole(bytes).0.remove(0);
        (answer.class(), answer.text())
    };
    assert_eq!(
        said(b"550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.10 user\r\n"),
        (Some(5), "5.1.1 no such 5.1.10 user".into())
    );
    assert_eq!(said(b"451 4.7.1\r\n"), (Some(4), "4.7.1".into()));
    for none in ["no", "5.1", "5.1.1.1", "3.1.1", "5.1.1234", "5..1", "5.a.1", ""] {
        assert_eq!(status_class(none), None, "{none:?}");
    }
}

proptest! {
    #[test]
    fn the_pieces_do_not_matter(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            "([2-5][0-9]{2}[- ][ -~]{0,20}(\r\n|\r\n|\n|\r)){0,12}".prop_map(String::into_bytes),
        ],
        pieces in prop::collection::vec(1..40_usize, 1..20),
        limit in 0..200_usize,
    ) {
        prop_assert_eq!(all(&bytes, &pieces, limit), all(&bytes, &[usize::MAX], limit));
    }
}
