//! What an update keeps of OAuth settings, and when a secret must be given again.

use super::*;
use crate::{
    domain::{
        account::{AccountDraft, Security},
        address::LocalPart,
        oauth::{ClientAuthentication, GrantKind},
    },
    policy::merge::{gives_secret, keep_secret_at_home, merge},
};

#[expect(clippy::unnecessary_wraps, reason = "as the fields are")]
fn secret(name: &str) -> Option<Secret> {
    Some(Secret::Environment(name.to_owned()))
}

fn oauth() -> OauthDraft {
    OauthDraft {
        token_endpoint: "https://login.example.com/token".into(),
        client_id: "client".into(),
        client_secret: secret("kept"),
        ..OauthDraft::default()
    }
}

fn draft() -> AccountDraft {
    AccountDraft {
        name: "main".into(),
        host: "smtp.example.com".into(),
        security: Some(Security::StartTls),
        authentication: true,
        username: "user".into(),
        sender: "noreply@example.com".into(),
        oauth: Some(oauth()),
        ..AccountDraft::default()
    }
}

fn settings(draft: AccountDraft) -> AccountSettings {
    draft.check("", LocalPart::Ascii).unwrap()
}

fn updated(new: &AccountDraft, mask: &[&str]) -> Result<AccountSettings, Violations> {
    let mask: Vec<String> = mask.iter().map(ToString::to_string).collect();
    let current = settings(draft());
    let new_settings = merge(&current, new, &mask).check("account.", LocalPart::Ascii)?;
    keep_secret_at_home(&current, &new_settings, gives_secret(new, &mask))?;
    Ok(new_settings)
}

fn with(oauth: OauthDraft) -> AccountDraft {
    AccountDraft {
        oauth: Some(oauth),
        ..draft()
    }
}

fn without_secret() -> OauthDraft {
    OauthDraft {
        client_secret: None,
        ..oauth()
    }
}

fn fault(result: Result<AccountSettings, Violations>) -> String {
    result.unwrap_err().as_slice()[0].field.clone()
}

#[test]
fn a_secret_stays_with_its_client_at_its_endpoint() {
    let scoped = OauthDraft {
        scopes: vec!["smtp".into()],
        ..without_secret()
    };
    for mask in [&["oauth"][..], &[]] {
        let kept = updated(&with(scoped.clone()), mask).unwrap();
        let oauth = oauth_of(&kept).unwrap();
        assert_eq!(oauth.secret(OauthSecret::Client), secret("kept").as_ref());
        assert_eq!(oauth.scope(), "smtp");
    }
    for moved in [
        OauthDraft {
            token_endpoint: "https://elsewhere.example/token".into(),
            ..without_secret()
        },
        OauthDraft {
            client_id: "another".into(),
            ..without_secret()
        },
    ] {
        let result = updated(&with(moved), &["oauth"]);
        assert_eq!(fault(result), "account.oauth.client_authentication");
    }
}

#[test]
fn another_proof_takes_the_place_of_the_one_before() {
    let key = OauthDraft {
        client_authentication: Some(ClientAuthentication::PrivateKeyJwt),
        private_key: secret("key"),
        ..without_secret()
    };
    let changed = updated(&with(key.clone()), &["oauth"]).unwrap();
    let oauth = oauth_of(&changed).unwrap();
    assert_eq!(oauth.secret(OauthSecret::Key), secret("key").as_ref());
    assert_eq!(oauth.secret(OauthSecret::Client), None);
    let unsaid = OauthDraft {
        client_authentication: None,
        ..key
    };
    assert_eq!(updated(&with(unsaid), &["oauth"]).unwrap(), changed);
    let refresh = OauthDraft {
        grant: GrantKind::RefreshToken,
        ..without_secret()
    };
    let result = updated(&with(refresh), &["oauth"]);
    assert_eq!(fault(result), "account.oauth.refresh_token");
}

#[test]
fn a_password_and_oauth_end_each_other() {
    let password = AccountDraft {
        secret: secret("password"),
        ..AccountDraft::default()
    };
    let changed = updated(&password, &["secret"]).unwrap();
    assert!(oauth_of(&changed).is_none());
    let mask = ["oauth".to_owned()];
    let back = merge(&changed, &draft(), &mask).check("", LocalPart::Ascii);
    assert!(oauth_of(&back.unwrap()).is_some());
    let both = AccountDraft {
        secret: secret("password"),
        ..draft()
    };
    assert_eq!(fault(updated(&both, &[])), "account.secret");
    // Whoever gives neither has neither.
    let neither = AccountDraft {
        oauth: None,
        ..draft()
    };
    assert_eq!(fault(updated(&neither, &[])), "account.secret");
}

#[test]
fn tokens_go_to_another_mail_server_only_when_the_secret_is_given_again() {
    let moved = AccountDraft {
        host: "smtp.elsewhere.example".into(),
        oauth: Some(without_secret()),
        ..draft()
    };
    assert_eq!(fault(updated(&moved, &["host"])), "account.oauth");
    assert_eq!(fault(updated(&moved, &["host", "oauth"])), "account.oauth");
    let given = AccountDraft {
        host: "smtp.elsewhere.example".into(),
        ..draft()
    };
    assert!(updated(&given, &["host", "oauth"]).is_ok());
}
