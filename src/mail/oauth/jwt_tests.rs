//! Keys of each form, and signatures that ring verifies. RSA is verified by a foreign server in `tests/it/oauth.rs`.

use rcgen::{CertificateParams, KeyPair};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use super::*;

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn a_p256_key_signs_what_its_public_key_verifies() {
    let pair = KeyPair::generate().unwrap();
    let key = Key::parse(&pair.serialize_pem()).unwrap();
    assert!(!key.is_rsa());
    let token = key
        .sign(Algorithm::Es256, Some("k1"), &json!({ "iss": "me" }))
        .unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    assert_eq!(
        decoded(header),
        json!({ "alg": "ES256", "typ": "JWT", "kid": "k1" })
    );
    assert_eq!(decoded(claims), json!({ "iss": "me" }));
    let verified = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key_raw())
        .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap());
    assert!(verified.is_ok());
    assert_eq!(
        key.sign(Algorithm::Rs256, None, &json!({})).unwrap_err(),
        KeyError::Mismatch
    );
}

#[test]
fn a_certificate_beside_the_key_is_named_in_the_header() {
    let pair = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["x.example".to_owned()])
        .unwrap()
        .self_signed(&pair)
        .unwrap();
    let thumbprint = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, certificate.der()));
    for text in [
        pair.serialize_pem() + &certificate.pem(),
        certificate.pem() + &pair.serialize_pem(),
    ] {
        let key = Key::parse(&text).unwrap();
        let token = key.sign(Algorithm::Es256, None, &json!({})).unwrap();
        let header = decoded(token.split('.').next().unwrap());
        assert_eq!(
            header,
            json!({ "alg": "ES256", "typ": "JWT", "x5t#S256": thumbprint })
        );
    }
}

#[test]
fn a_service_accounts_file_names_its_key_and_account() {
    let file = json!({
        "type": "service_account",
        "private_key_id": "0123",
        "private_key": KeyPair::generate().unwrap().serialize_pem(),
        "client_email": "mail@project.example",
    });
    let key = Key::parse(&format!("\n{file}")).unwrap();
    assert_eq!(key.id.as_deref(), Some("0123"));
    assert_eq!(key.account.as_deref(), Some("mail@project.example"));
}

#[test]
fn what_is_no_key_is_refused_without_being_repeated() {
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519)
        .unwrap()
        .serialize_pem();
    for (text, error) in [
        ("", KeyError::Format),
        ("s3cret", KeyError::Format),
        ("{}", KeyError::Format),
        ("{\"private_key\": \"s3cret\"}", KeyError::Format),
        (ed25519.as_str(), KeyError::Kind),
    ] {
        assert_eq!(Key::parse(text).err(), Some(error), "{text}");
    }
}
