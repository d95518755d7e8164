//! Hashes that other programs made (Python's hashlib and argon2-cffi, libxcrypt), and hashes nobody should have made.

use zeroize::Zeroizing;

use super::*;

const HASHES: [&str; 8] = [
    "$argon2id$v=19$m=1024,t=2,p=1$+NRK1Gg7iNMns2IXV5oPBw$fIHR4tKLanQCgN/23RlSR/Or3b+TrPQnguFQ0I6O/H0",
    "$argon2i$v=19$m=1024,t=2,p=2$H6kKx//RA8d0Dzi9v2ym2w$5RJPqRvH6Yx+E5VbTnhB/6Lsatc/pUIwEQS8ULHOTwE",
    "$pbkdf2-sha256$i=1000,l=32$c2FsdHNhbHRzYWx0c2FsdA$8u/u+S0kerz1B6GOGq4T2UVjtDEF7BGIADsdooBdsso",
    "$pbkdf2-sha256$1000$c2FsdHNhbHRzYWx0c2FsdA$8u/u.S0kerz1B6GOGq4T2UVjtDEF7BGIADsdooBdsso",
    "$pbkdf2-sha512$i=1000,l=64$c2FsdHNhbHRzYWx0c2FsdA$mpa7gitmBE3/0Dc4H2sjtubGF3Hvd5uloPhOYccaZ6LONQTmEEMzQ/6nw43fetLxtfju1s7Y1Qlem6T0xubjdw",
    "$scrypt$ln=10,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$eMot89Jxi9HEjoVAqyfK9GLCreYMfx63ib1/sUTIWQU",
    "$2b$04$abcdefghijklmnopqrstuuLK4yYxcGJwQr33yKnQTmKjI1WQSUD2K",
    "$2y$04$abcdefghijklmnopqrstuuLK4yYxcGJwQr33yKnQTmKjI1WQSUD2K",
];

fn password(text: &str) -> Password {
    Password::parse(Zeroizing::new(text.to_owned())).unwrap()
}

#[tokio::test]
async fn the_right_password_is_right_and_no_other() {
    let checker = Checker::new();
    for text in HASHES {
        let proof = Proof::new(text.to_owned());
        for (typed, right) in [
            ("right horse", true),
            ("right hors", false),
            ("right horse ", false),
            ("Right horse", false),
        ] {
            let told = checker.check(Some(&proof), &password(typed)).await;
            assert_eq!(told, (right, None), "{text} {typed}");
        }
        // A decoy costs as much and is nobody's.
        checker.learn(&proof);
        assert_eq!(checker.check(None, &password("right horse")).await, (false, None));
    }
}

#[tokio::test]
async fn a_hash_of_no_use_is_no_password() {
    let checker = Checker::new();
    for (text, fault) in [
        ("", HashFault::Unknown),
        ("right horse", HashFault::Unknown),
        ("{SSHA}c2FsdHNhbHQ", HashFault::Unknown),
        ("$1$salt$qJH7.N4xYta3aEG/dfqo/0", HashFault::Unknown),
        (
            "$argon2id$v=19$m=1024,t=2$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            HashFault::Unknown,
        ),
        (
            "$argon2id$v=19$m=1024,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$",
            HashFault::Unknown,
        ),
        (
            "$argon2id$v=19$m=4194304,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            HashFault::TooCostly,
        ),
        (
            "$argon2id$v=19$m=65536,t=4294967295,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            HashFault::TooCostly,
        ),
        (
            "$scrypt$ln=30,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            HashFault::TooCostly,
        ),
        (
            "$scrypt$ln=17,r=8,p=4000000000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            HashFault::TooCostly,
        ),
        (
            "$pbkdf2-sha256$i=4294967295$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            HashFault::TooCostly,
        ),
        (
            "$2b$31$abcdefghijklmnopqrstuuLK4yYxcGJwQr33yKnQTmKjI1WQSUD2K",
            HashFault::TooCostly,
        ),
    ] {
        let told = checker
            .check(Some(&Proof::new(text.to_owned())), &password("x"))
            .await;
        assert_eq!(told, (false, Some(fault)), "{text}");
    }
}
