//! What is taken for OAuth settings, and what each provider adds.

use super::*;

#[expect(clippy::unnecessary_wraps, reason = "as the fields are")]
fn secret(name: &str) -> Option<Secret> {
    Some(Secret::Environment(name.to_owned()))
}

fn microsoft() -> OauthDraft {
    OauthDraft {
        provider: Provider::Microsoft365,
        tenant: "contoso.example".into(),
        client_id: "11111111-2222".into(),
        client_secret: secret("a"),
        ..OauthDraft::default()
    }
}

fn faults(draft: OauthDraft) -> Vec<String> {
    let faults = draft.check("").unwrap_err();
    faults
        .as_slice()
        .iter()
        .map(|fault| fault.field.clone())
        .collect()
}

#[test]
fn providers_bring_their_endpoint_and_scope() {
    let oauth = microsoft().check("").unwrap();
    assert_eq!(
        oauth.endpoint.as_str(),
        "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token"
    );
    assert_eq!(oauth.scope(), "https://outlook.office365.com/.default");
    assert!(matches!(
        oauth.grant,
        Grant::ClientCredentials(ClientProof::Post(_))
    ));
    let google = OauthDraft {
        provider: Provider::Google,
        grant: GrantKind::ServiceAccount,
        private_key: secret("key"),
        ..OauthDraft::default()
    };
    let oauth = google.check("").unwrap();
    assert_eq!(oauth.endpoint.as_str(), "https://oauth2.googleapis.com/token");
    assert_eq!(oauth.scope(), "https://mail.google.com/");
}

#[test]
fn a_refresh_asks_for_what_was_consented_to() {
    let draft = OauthDraft {
        grant: GrantKind::RefreshToken,
        refresh_token: secret("b"),
        client_secret: None,
        ..microsoft()
    };
    let oauth = draft.clone().check("").unwrap();
    assert_eq!(oauth.scope(), "");
    assert!(matches!(oauth.grant, Grant::RefreshToken(_, ClientProof::None)));
    let scopes = vec![
        "https://outlook.office.com/SMTP.Send".into(),
        "offline_access".into(),
    ];
    let oauth = OauthDraft { scopes, ..draft }.check("").unwrap();
    assert_eq!(
        oauth.scope(),
        "https://outlook.office.com/SMTP.Send offline_access"
    );
}

#[test]
fn a_draft_of_settings_makes_the_same_settings() {
    let key = OauthDraft {
        client_secret: None,
        private_key: secret("key"),
        algorithm: Some(Algorithm::Ps256),
        key_id: "kid".into(),
        audience: "https://audience.example".into(),
        mechanism: Mechanism::OauthBearer,
        ..microsoft()
    };
    let basic = OauthDraft {
        client_authentication: Some(ClientAuthentication::SecretBasic),
        provider: Provider::Other,
        tenant: String::new(),
        token_endpoint: "https://login.example.com/token".into(),
        scopes: vec!["smtp".into()],
        ..microsoft()
    };
    let service = OauthDraft {
        provider: Provider::Google,
        tenant: String::new(),
        client_secret: None,
        grant: GrantKind::ServiceAccount,
        private_key: secret("key"),
        subject: "noreply@example.com".into(),
        ..microsoft()
    };
    let refresh = OauthDraft {
        grant: GrantKind::RefreshToken,
        refresh_token: secret("c"),
        ..basic.clone()
    };
    for draft in [microsoft(), key, basic, service, refresh] {
        let oauth = draft.check("").unwrap();
        assert_eq!(OauthDraft::from(&oauth).check("").unwrap(), oauth);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_does_not_fit_together_is_refused_by_field() {
    let other = OauthDraft {
        provider: Provider::Other,
        ..microsoft()
    };
    for (draft, field) in [
        (
            OauthDraft {
                tenant: String::new(),
                ..microsoft()
            },
            "tenant",
        ),
        (
            OauthDraft {
                tenant: "a/../b".into(),
                ..microsoft()
            },
            "tenant",
        ),
        (
            OauthDraft {
                tenant: String::new(),
                ..other.clone()
            },
            "token_endpoint",
        ),
        (
            OauthDraft {
                token_endpoint: "https://elsewhere.example/".into(),
                ..microsoft()
            },
            "token_endpoint",
        ),
        (
            OauthDraft {
                client_id: String::new(),
                ..microsoft()
            },
            "client_id",
        ),
        (
            OauthDraft {
                client_id: "a b".into(),
                ..microsoft()
            },
            "client_id",
        ),
        (
            OauthDraft {
                client_secret: None,
                ..microsoft()
            },
            "client_authentication",
        ),
        (
            OauthDraft {
                private_key: secret("k"),
                ..microsoft()
            },
            "client_secret",
        ),
        (
            OauthDraft {
                refresh_token: secret("r"),
                ..microsoft()
            },
            "refresh_token",
        ),
        (
            OauthDraft {
                grant: GrantKind::RefreshToken,
                ..microsoft()
            },
            "refresh_token",
        ),
        (
            OauthDraft {
                subject: "a@example.com".into(),
                ..microsoft()
            },
            "subject",
        ),
        (
            OauthDraft {
                algorithm: Some(Algorithm::Rs256),
                ..microsoft()
            },
            "signing_algorithm",
        ),
        (
            OauthDraft {
                key_id: "k".into(),
                ..microsoft()
            },
            "key_id",
        ),
        (
            OauthDraft {
                scopes: vec!["a".into(), "b c".into()],
                ..microsoft()
            },
            "scopes[1]",
        ),
        (
            OauthDraft {
                scopes: vec!["a".into(); 21],
                ..microsoft()
            },
            "scopes",
        ),
        (
            OauthDraft {
                client_authentication: Some(ClientAuthentication::PrivateKeyJwt),
                client_secret: None,
                ..microsoft()
            },
            "private_key",
        ),
    ] {
        assert_eq!(faults(draft.clone()), [field], "{draft:?}");
    }
    let google = OauthDraft {
        provider: Provider::Google,
        tenant: String::new(),
        ..microsoft()
    };
    assert_eq!(faults(google), ["grant"]);
}
