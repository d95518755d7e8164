use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use super::*;

#[derive(Debug)]
struct Fixed;

impl Entropy for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

/// The RSA key of RFC 6376's and RFC 8463's examples has 1,024 bits.
const SMALL: &str = include_str!("../../tests/keys/rsa-1024.pem");
const RSA: &str = include_str!("../../tests/keys/rsa-2048.pem");
const RSA_1: &str = include_str!("../../tests/keys/rsa-2048-pkcs1.pem");

#[test]
fn keys_are_read_in_either_form_and_others_refused() {
    let pkcs8 = SigningKey::from_pem(RSA).unwrap();
    let pkcs1 = SigningKey::from_pem(RSA_1).unwrap();
    assert_eq!(pkcs8.algorithm(), Algorithm::Rsa);
    assert_eq!(pkcs8.public(), pkcs1.public());
    // SEQUENCE, algorithm, BIT STRING of 271 bytes: 294 in all.
    assert_eq!(pkcs8.public().len(), 294);
    for (pem, why) in [
        (SMALL, SigningKeyError::Size),
        ("", SigningKeyError::NotPem),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            SigningKeyError::NotPem,
        ),
        (
            include_str!("../../tests/keys/p256.pem"),
            SigningKeyError::Algorithm,
        ),
    ] {
        assert_eq!(SigningKey::from_pem(pem).unwrap_err(), why);
    }
}

#[test]
fn a_key_signs_what_its_public_half_verifies() {
    let pem = SigningKey::generate(&Fixed);
    let key = SigningKey::from_pem(&pem).unwrap();
    let signature = key.sign(b"x").unwrap();
    let public = UnparsedPublicKey::new(&ED25519, key.public());
    public.verify(b"x", &signature).unwrap();
    public.verify(b"y", &signature).unwrap_err();
    let key = SigningKey::from_pem(RSA).unwrap();
    let signature = key.sign(b"x").unwrap();
    // Behind 24 bytes of wrapping: the key alone.
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public()[24..].to_vec());
    public.verify(b"x", &signature).unwrap();
    assert_eq!(key.sign(b"x"), Some(signature));
}

#[test]
fn the_example_key_of_the_standard_has_its_public_half() {
    // RFC 8463, appendix A.2.
    let seed = STANDARD
        .decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
        .unwrap();
    let der = STANDARD.encode([ED25519_HEAD.as_slice(), &seed].concat());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    let key = SigningKey::from_pem(&pem).unwrap();
    let public = STANDARD.encode(key.public());
    assert_eq!(public, "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
}
