use super::*;
use std::time::Duration;

use crate::domain::{
    account::{Secret, Security},
    address::LocalPart,
};

/// Looks like a certificate to a reader of PEM.
const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

fn settings() -> AccountSettings {
    let draft = AccountDraft {
        name: "main".into(),
        enabled: true,
        host: "smtp.example.com".into(),
        security: Some(Security::StartTls),
        authentication: true,
        username: "user".into(),
        secret: Some(Secret::Environment("MAILFACTOR_SECRET_SMTP".into())),
        sender: "noreply@example.com".into(),
        display_name: "Example".into(),
        reply_to: "help@example.com".into(),
        ..AccountDraft::default()
    };
    draft.check("", LocalPart::Ascii).unwrap()
}

fn merged(new: &AccountDraft, mask: &[&str]) -> Result<AccountSettings, Violations> {
    let mask: Vec<String> = mask.iter().map(ToString::to_string).collect();
    check_mask(&mask)?;
    merge(&settings(), new, &mask).check("account.", LocalPart::Ascii)
}

#[test]
fn every_field_can_be_named_and_only_those_that_are_change() {
    assert_eq!(
        AccountDraft::from(&settings()).check("", LocalPart::Ascii),
        Ok(settings())
    );
    let new = AccountDraft {
        name: "other".into(),
        enabled: false,
        host: "email-smtp.eu-west-1.amazonaws.com".into(),
        port: 2465,
        security: Some(Security::ImplicitTls),
        authentication: true,
        username: "other".into(),
        secret: Some(Secret::File("/run/secrets/smtp".into())),
        sender: "other@example.com".into(),
        display_name: "Other".into(),
        reply_to: String::new(),
        order: 7,
        messages_per_minute: 12,
        messages_per_day: 400,
        preset: "ses".into(),
        return_path: "bounces@example.com".into(),
        read_receipt: true,
        confirmation_address: "read@example.com".into(),
        force_settings: true,
        footnote_enabled: true,
        footnote: "Example Ltd".into(),
        hello_name: "mail.example.com".into(),
        server_name: "smtp.internal".into(),
        ca_certificates: PEM.into(),
        identity: crate::domain::account::IdentityDraft::default(),
        ignore_certificate_errors: true,
        timeout: Some(Duration::from_secs(3)),
        acknowledge_risks: true,
        known_risks: Vec::new(),
        oauth: None,
        default_credentials: false,
    };
    for field in UPDATABLE {
        let change = merged(&new, &[field]).unwrap();
        // Authentication is on in both, the others are off: naming them alone changes nothing.
        let same = [
            "authentication",
            "oauth",
            "default_credentials",
            "client_certificate",
            "client_key",
        ]
        .contains(&field);
        assert_eq!(change == settings(), same, "{field}");
    }
    assert_eq!(
        merged(&new, &UPDATABLE).unwrap(),
        new.clone().check("", LocalPart::Ascii).unwrap()
    );
    let host = merged(&new, &["host"]).unwrap();
    assert_eq!(host.server.host, "email-smtp.eu-west-1.amazonaws.com");
    assert_eq!(
        (host.server.port, host.server.security),
        (587, Security::StartTls)
    );
}

#[test]
fn an_empty_mask_changes_all_and_keeps_the_secret() {
    let new = AccountDraft {
        name: "other".into(),
        secret: None,
        ..AccountDraft::from(&settings())
    };
    let expected = AccountSettings {
        name: "other".into(),
        ..settings()
    };
    assert_eq!(merged(&new, &[]), Ok(expected));
    // A mask that names the secret takes it away, which an account that logs in does not bear.
    let faults = merged(&new, &["secret"]).unwrap_err();
    assert_eq!(faults.as_slice()[0].field, "account.secret");
}

#[test]
fn a_port_follows_the_security_only_where_none_is_named() {
    let new = AccountDraft {
        security: Some(Security::ImplicitTls),
        ..AccountDraft::default()
    };
    assert_eq!(merged(&new, &["security"]).unwrap().server.port, 587);
    assert_eq!(merged(&new, &["security", "port"]).unwrap().server.port, 465);
}

#[test]
fn a_mask_with_another_field_is_refused_without_repeating_it() {
    for bad in ["is_default", "account_id", "etag", "hunter2", ""] {
        let faults = merged(&AccountDraft::default(), &["host", bad]).unwrap_err();
        assert_eq!(faults.as_slice().len(), 1);
        assert_eq!(faults.as_slice()[0].field, "update_mask");
        assert!(bad.is_empty() || !faults.to_string().contains(bad), "{faults}");
    }
}

#[test]
fn another_preset_brings_its_own_server() {
    let new = AccountDraft {
        preset: "gmail".into(),
        ..AccountDraft::default()
    };
    let gmail = merged(&new, &["preset"]).unwrap();
    assert_eq!(
        (gmail.server.host.as_str(), gmail.server.port),
        ("smtp.gmail.com", 465)
    );
    assert_eq!(gmail.warnings().len(), 1, "{:?}", gmail.warnings());
    let new = AccountDraft {
        preset: "gmail".into(),
        host: "smtp.example.com".into(),
        ..AccountDraft::default()
    };
    let faults = merged(&new, &["preset", "host"]).unwrap_err();
    assert_eq!(faults.as_slice()[0].field, "account.host");
}

#[test]
fn a_risk_needs_a_yes_once() {
    let mut new = AccountDraft {
        ignore_certificate_errors: true,
        ..AccountDraft::default()
    };
    let faults = merged(&new, &["ignore_certificate_errors"]).unwrap_err();
    assert_eq!(faults.as_slice()[0].field, "account.acknowledge_risks");
    new.acknowledge_risks = true;
    let risky = merged(&new, &["ignore_certificate_errors"]).unwrap();
    assert_eq!(risky.warnings().len(), 1);
    // What was said yes to before needs no other.
    let draft = merge(&risky, &AccountDraft::default(), &["order".to_owned()]);
    assert!(draft.check("", LocalPart::Ascii).is_ok());
}
