use super::convert;
use crate::{
    domain::{
        account::Secret,
        address::LocalPart,
        challenge::Purpose,
        clock::Timestamp,
        delivery::DeliveryState,
        id::{AccountId, EntryId},
        violation::Violations,
    },
    pb::v1 as pb,
    policy::{AccountRef, PageKey},
};

fn fields(faults: &Violations) -> Vec<&str> {
    faults
        .as_slice()
        .iter()
        .map(|fault| fault.field.as_str())
        .collect()
}

#[test]
fn a_start_needs_only_a_user() {
    let request = pb::StartChallengeRequest {
        user: "ada".into(),
        ..Default::default()
    };
    let request = convert::start(request, LocalPart::Ascii).unwrap();
    assert_eq!(request.purpose, Purpose::Login);
    assert_eq!(
        (
            request.repository,
            request.locale,
            request.client_ip,
            request.request_id
        ),
        (None, None, None, None)
    );
}

#[test]
fn every_fault_of_a_start_is_told_at_once() {
    let request = pb::StartChallengeRequest {
        user: "a\nb".into(),
        repository: "x".repeat(65),
        purpose: 99,
        event: "a b".into(),
        request_id: "nowhere to".into(),
        ..Default::default()
    };
    let faults = convert::start(request, LocalPart::Ascii).unwrap_err();
    let expected = ["user", "repository", "purpose", "event", "request_id"];
    assert_eq!(fields(&faults), expected);
    assert!(!faults.to_string().contains("nowhere"), "a value was repeated");
}

#[test]
fn what_is_there_for_the_looks_is_read_or_left_out() {
    let request = |endpoint: &str, locale: &str, client_ip: &str| {
        let request = pb::StartChallengeRequest {
            user: "ada".into(),
            endpoint: endpoint.into(),
            locale: locale.into(),
            client_ip: client_ip.into(),
            ..Default::default()
        };
        convert::start(request, LocalPart::Ascii).unwrap()
    };
    let read = request("a\r\nb", "de_CH.UTF-8", "[2001:db8::1]:80");
    assert_eq!(
        (read.endpoint.as_str(), read.locale.as_deref()),
        ("a b", Some("de-CH"))
    );
    assert_eq!(read.client_ip, "2001:db8::1".parse().ok());
    let left = request("\u{202e}", "_", "nowhere");
    assert_eq!(
        (left.endpoint.as_str(), left.locale, left.client_ip),
        ("", None, None)
    );
}

#[test]
fn verify_names_both_fields() {
    let faults = convert::verify(pb::VerifyCodeRequest::default()).unwrap_err();
    assert_eq!(fields(&faults), ["challenge_id", "code"]);
}

fn account() -> pb::Account {
    pb::Account {
        name: "main".into(),
        host: "smtp.example.com".into(),
        security: pb::ConnectionSecurity::Starttls.into(),
        authentication: true,
        username: "main".into(),
        secret: secret(pb::account_secret::Source::Password("hunter2".into())),
        sender: "noreply@example.com".into(),
        ..Default::default()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the field wants it")]
fn secret(source: pb::account_secret::Source) -> Option<pb::AccountSecret> {
    Some(pb::AccountSecret { source: Some(source) })
}

fn create(account: pb::Account) -> Result<crate::policy::AccountInput, Violations> {
    let request = pb::CreateAccountRequest {
        account: Some(account),
    };
    convert::create_account(request, LocalPart::Ascii)
}

#[test]
fn a_password_goes_beside_the_draft() {
    let input = create(account()).unwrap();
    assert_eq!(input.password.as_deref().map(String::as_str), Some("hunter2"));
    assert_eq!(input.draft.secret, None);
    let file = pb::Account {
        secret: secret(pb::account_secret::Source::File("/run/x".into())),
        ..account()
    };
    assert_eq!(
        create(file).unwrap().draft.secret,
        Some(Secret::File("/run/x".into()))
    );
}

#[test]
fn every_fault_of_an_account_is_told_at_once_and_once() {
    let bad = pb::Account {
        name: String::new(),
        security: 99,
        port: -1,
        secret: secret(pb::account_secret::Source::Environment("PATH".into())),
        ..account()
    };
    let faults = create(bad).unwrap_err();
    let expected = [
        "account.security",
        "account.secret",
        "account.name",
        "account.port",
    ];
    assert_eq!(fields(&faults), expected);
    for password in [String::new(), "x".repeat(1025), "a\nb".into()] {
        let bad = pb::Account {
            secret: secret(pb::account_secret::Source::Password(password)),
            ..account()
        };
        assert_eq!(fields(&create(bad).unwrap_err()), ["account.secret"]);
    }
}

#[test]
fn an_update_names_its_mask_its_account_and_its_etag() {
    let id = AccountId::from_bytes([7; 16]).to_string();
    let paths = |paths: &[&str]| {
        Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        })
    };
    let update = |account, update_mask| {
        convert::update_account(pb::UpdateAccountRequest {
            account: Some(account),
            update_mask,
        })
    };
    let good = pb::Account {
        account_id: id.clone(),
        host: "smtp.example.com".into(),
        // Outside the mask, so that it does not count.
        security: 99,
        etag: "v12".into(),
        ..Default::default()
    };
    let read = update(good, paths(&["host"])).unwrap();
    assert_eq!((read.version, read.mask), (Some(12), vec!["host".to_owned()]));
    let bad = pb::Account {
        account_id: id,
        etag: "12".into(),
        ..Default::default()
    };
    let faults = update(bad, paths(&["host", "is_default"])).unwrap_err();
    assert_eq!(fields(&faults), ["account.etag", "update_mask.paths[1]"]);
    assert!(faults.to_string().contains("is_default is not"));
}

#[test]
fn accounts_are_named_either_way() {
    let id = AccountId::from_bytes([7; 16]);
    assert!(matches!(convert::named_account(&id.to_string()), Ok(AccountRef::Id(found)) if found == id));
    assert!(matches!(convert::named_account("main"), Ok(AccountRef::Name(name)) if name == "main"));
    assert!(convert::named_account("").is_err());
}

#[test]
fn pages_go_on_under_the_same_filters_alone() {
    let list = |page_token: &str, states: &[pb::DeliveryState], page_size| {
        convert::list_entries(pb::ListEntriesRequest {
            page_token: page_token.to_owned(),
            states: states.iter().map(|state| i32::from(*state)).collect(),
            page_size,
            ..Default::default()
        })
    };
    let states = [pb::DeliveryState::Sent, pb::DeliveryState::Failed];
    let first = list("", &states, 0).unwrap();
    assert_eq!(first.size, 50);
    assert_eq!(
        first.search.filter.states,
        [DeliveryState::Sent, DeliveryState::Failed]
    );
    let key = PageKey {
        submitted_at: Timestamp::from_micros(-5),
        id: EntryId::from_bytes([1; 16]),
    };
    let token = convert::page_token(Some(key), &first.search);
    let turned = [
        pb::DeliveryState::Failed,
        pb::DeliveryState::Sent,
        pb::DeliveryState::Sent,
    ];
    assert_eq!(list(&token, &turned, 500).unwrap().after, Some(key));
    for (token, states, size, field) in [
        (token.as_str(), &states[..1], 0, "page_token"),
        ("x", &states, 0, "page_token"),
        ("", &states, 501, "page_size"),
        ("", &states, -1, "page_size"),
        ("", &[pb::DeliveryState::Withheld], 0, "states[0]"),
    ] {
        assert_eq!(fields(&list(token, states, size).unwrap_err()), [field]);
    }
}

#[test]
fn a_test_message_takes_the_line_ends_of_forms() {
    let request = pb::SendTestMessageRequest {
        recipient: "ada@example.com".into(),
        text: "one\r\ntwo".into(),
        ..Default::default()
    };
    let message = convert::test_message(request.clone(), LocalPart::Ascii).unwrap();
    assert_eq!(message.text, "one\ntwo");
    let bad = pb::SendTestMessageRequest {
        subject: "a\r\nBcc: x".into(),
        recipient: "?".into(),
        ..request
    };
    let faults = convert::test_message(bad, LocalPart::Ascii).unwrap_err();
    assert_eq!(fields(&faults), ["recipient", "subject"]);
}
