//! The fuzz targets for a moment, on a stable compiler and without a fuzzer: valid inputs, mutated at random.
//!
//! `MAILFACTOR_FUZZ_SECONDS` is how long each may take, 2 if it is not set; `MAILFACTOR_SEED` repeats a run.

#![cfg(test)] // Says to clippy that every function here belongs to tests.
#![expect(clippy::print_stderr, reason = "tests say what they measure")]

use std::{env, panic, time::Duration};

use mailfactor::{fuzz::TARGETS, pb::v1 as pb};
use prost::Message as _;
use tokio::time::Instant;

#[expect(dead_code, reason = "shared with the fault suite, which uses the rest")]
#[path = "faults/dice.rs"]
mod dice;

use dice::{Dice, seed};

/// Texts that parsers have a word for.
const WORDS: &[&str] = &[
    "",
    "@",
    "ann@example.com",
    "\"a b\"@example.com",
    "xn--",
    "\u{202e}",
    "\r\n",
    "\0",
    "{{",
    "{% for x in y %}",
    "{local:1}",
    "{tld}",
    "%",
    "9999999999999999999999",
    "-1",
    "[policy]",
    "=",
    "\"",
    "é",
    "😀",
    "5s",
    "true",
    ".",
    "\u{fffd}",
    "<script>",
];

const CONFIGURATION: &str = include_str!("../src/config/default.toml");

#[test]
fn nothing_that_strangers_write_makes_a_target_panic() {
    let seconds = env::var("MAILFACTOR_FUZZ_SECONDS").map_or(2, |text| text.parse().expect("seconds"));
    let mut dice = Dice::new(seed());
    for (name, target) in TARGETS {
        let samples = samples(name, &mut dice);
        let (since, mut inputs) = (Instant::now(), 0_u64);
        while since.elapsed() < Duration::from_secs(seconds) {
            let mut input = samples[dice.below(samples.len())].clone();
            for _ in 0..dice.below(6) {
                mutate(&mut input, &samples, &mut dice);
            }
            let kept = input.clone();
            let done = panic::catch_unwind(move || target(&input));
            assert!(
                done.is_ok(),
                "{name} panicked on {:?}",
                kept.escape_ascii().to_string()
            );
            inputs += 1;
        }
        eprintln!("{name}: {inputs} inputs");
        assert!(inputs > 100, "{name} is far too slow: {inputs} inputs");
    }
}

/// Valid inputs to begin with.
fn samples(target: &str, dice: &mut Dice) -> Vec<Vec<u8>> {
    let texts: &[&str] = match target {
        "request" => return requests(dice),
        "address" => &[
            "ann@example.com",
            "ann+tag@mail.example.co.uk",
            "ü@bücher.example",
            "a.b-c_d@x.example",
        ],
        "code" => &[
            "Your code is: 123 456.",
            "\u{201c}１２３-４５６\u{201d}",
            "\u{661}\u{662}\u{663}\u{200b}\u{664}\u{665}\u{666}",
            "Passwort: 2bCd3fGh4jKm",
            "BCDF_GHJK",
        ],
        "mask" => &[
            "{local:1}*****@{domain:1}*****.{tld}\nann@example.com",
            "***\nü@bücher.example",
            "{local:2}@{tld}\na@b.example",
        ],
        "template" => &[
            "Your code\0Hello {{ user }}, {{ code }}\n{% if client_ip %}from {{ client_ip }}{% endif %}\0<p>{{ code }}</p>",
            "{{ subject }}\0{{ code|upper }} {% for x in [1, 2] %}{{ x }}{% endfor %}\0",
        ],
        "replies" => &[
            "\x03220 mail.example ESMTP\r\n250-mail.example\r\n250-PIPELINING\r\n250 SIZE 1000\r\n",
            "\x01250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go ahead\r\n451-4.7.1 later\r\n451 4.7.1 please\r\n",
        ],
        "ldap_replies" => &[
            "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00",
            "\x30\x22\x02\x01\x02\x64\x1d\x04\x05cn=me\x30\x14\x30\x12\x04\x04mail\x31\x0a\x04\x03a@b\x04\x03c@d\
             \x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00",
        ],
        "ldap_filter" => &[
            "(&(objectClass=person)(!(userAccountControl:1.2.840.113556.1.4.803:=2))(|(uid={user})(cn=a*{user}*b)))\nann",
            "(:2.5.13.2:={user}\\2a)\n*)(uid=*",
        ],
        _ => &[
            CONFIGURATION,
            "[server]\nlisten = \"127.0.0.1:0\"\n",
            "[events.pay]\ncode = { length = 8 }\n",
        ],
    };
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Requests: some real ones, and for every method messages of any fields.
fn requests(dice: &mut Dice) -> Vec<Vec<u8>> {
    let start = pb::StartChallengeRequest {
        user: "ann".to_owned(),
        event: "pay".to_owned(),
        locale: "de-AT".to_owned(),
        client_ip: "2001:db8::1".to_owned(),
        request_id: "a-1".to_owned(),
        reply_to: "help@example.com".to_owned(),
        ..pb::StartChallengeRequest::default()
    };
    let verify = pb::VerifyCodeRequest {
        challenge_id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        code: "123 456".to_owned(),
        ..pb::VerifyCodeRequest::default()
    };
    let list = pb::ListEntriesRequest {
        page_size: 50,
        recipient: "ann@example.com".to_owned(),
        submitted_from: Some(prost_types::Timestamp {
            seconds: 1,
            nanos: -1,
        }),
        ..pb::ListEntriesRequest::default()
    };
    let mut samples = vec![
        [&[0], start.encode_to_vec().as_slice()].concat(),
        [&[2], verify.encode_to_vec().as_slice()].concat(),
        [&[12], list.encode_to_vec().as_slice()].concat(),
    ];
    for method in 0..=u8::MAX {
        for _ in 0..8 {
            let mut sample = vec![method];
            message(&mut sample, dice, 3);
            samples.push(sample);
        }
    }
    samples
}

/// A message of any fields, as protobuf writes them.
fn message(into: &mut Vec<u8>, dice: &mut Dice, depth: usize) {
    for _ in 0..dice.below(6) {
        let field = u8::try_from(1 + dice.below(15)).unwrap();
        if dice.below(3) == 0 {
            into.push(field << 3);
            let numbers: &[&[u8]] = &[
                &[0],
                &[1],
                &[2],
                &[127],
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            ];
            into.extend_from_slice(numbers[dice.below(numbers.len())]);
            continue;
        }
        let mut inner = Vec::new();
        if depth > 0 && dice.below(2) == 0 {
            message(&mut inner, dice, depth - 1);
        } else {
            inner.extend_from_slice(WORDS[dice.below(WORDS.len())].as_bytes());
        }
        // Longer ones would need a length of two bytes.
        inner.truncate(127);
        into.extend([field << 3 | 2, u8::try_from(inner.len()).unwrap()]);
        into.extend(inner);
    }
}

fn mutate(input: &mut Vec<u8>, samples: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(input.len() + 1);
    match dice.below(6) {
        0 if at < input.len() => input[at] ^= 1 << dice.below(8),
        1 => input.truncate(at),
        2 => {
            let word = WORDS[dice.below(WORDS.len())];
            drop(input.splice(at..at, word.bytes()));
        }
        3 => {
            let end = (at + dice.below(8)).min(input.len());
            input.drain(at..end);
        }
        4 => {
            let other = &samples[dice.below(samples.len())];
            let from = dice.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => {
            let end = (at + dice.below(32)).min(input.len());
            let piece = input[at..end].to_vec();
            drop(input.splice(at..at, piece));
        }
    }
    input.truncate(64 * 1024);
}
