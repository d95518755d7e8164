//! Asking for a token: the request that each grant makes.

use std::{fmt, sync::Arc};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{
    answer::{self, Granted, failed},
    form::{Form, encoded},
    http::{self, Answer},
    jwt::Key,
    turn::{Turn, Turns},
};
use crate::{
    domain::{
        account::Secret,
        clock::Clock,
        delivery::{SendFailure, Stage},
        entropy::{Entropy, random_bytes},
        id::AccountId,
        keyring::Keyring,
        oauth::{Algorithm, ClientProof, Grant, MOST_SECRET, Oauth, OauthSecret, Provider, SigningKey},
    },
    mail::{
        MailSettings,
        dial::Dialer,
        reply::Hidden,
        secret::{self, NamedBy},
    },
    secret_files::Shape,
    store::RefreshTokens,
};

/// How long an assertion is good: long enough for clocks that differ, far below the hour that Google allows.
const ASSERTION: i64 = 300;

/// By how much a token endpoint's clock may be behind ours.
const SKEW: i64 = 60;

/// Asks for tokens.
pub(in crate::mail) struct Grants {
    dialer: Arc<Dialer>,
    settings: MailSettings,
    turns: Turns,
}

/// Whose token is asked for.
#[derive(Clone)]
pub(super) struct Wanted {
    /// The account.
    pub(super) account: AccountId,
    /// Its user name at the mail server.
    pub(super) username: String,
    /// How it gets tokens.
    pub(super) oauth: Oauth,
}

/// A request under way.
struct Asking<'a> {
    grants: &'a Grants,
    wanted: &'a Wanted,
    form: Form,
    /// The value of Authorization.
    basic: Option<Zeroizing<String>>,
    hidden: Hidden,
}

impl Grants {
    /// Over this dialer, with these limits.
    pub(in crate::mail) fn new(
        dialer: Arc<Dialer>,
        settings: MailSettings,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        store: Arc<dyn RefreshTokens>,
    ) -> Self {
        let turns = Turns {
            keyring,
            clock,
            entropy,
            store,
        };
        Self {
            dialer,
            settings,
            turns,
        }
    }

    /// The time.
    pub(super) fn clock(&self) -> &dyn Clock {
        self.turns.clock.as_ref()
    }

    /// Asks for a token.
    pub(super) async fn ask(&self, wanted: &Wanted) -> Result<Granted, SendFailure> {
        let mut asking = Asking {
            grants: self,
            wanted,
            form: Form::default(),
            basic: None,
            hidden: Hidden::default(),
        };
        let late = || {
            failed(
                None,
                "the token endpoint did not answer in time",
                &Hidden::default(),
            )
        };
        let patience = self.settings.token_timeout;
        let filled = timeout(patience, asking.fill()).await;
        let busy = || failed(None, "the refresh token is in use elsewhere", &Hidden::default());
        let turn = filled.unwrap_or_else(|_| Err(busy()))?;
        let result = timeout(patience, asking.exchange()).await;
        let result = result.unwrap_or_else(|_| Err(late()));
        if let Some(turn) = turn {
            let granted = result.as_ref().ok();
            let replaced = granted.and_then(|granted| granted.refresh.as_deref());
            turn.end(replaced.map(String::as_str)).await;
        }
        result
    }
}

impl<'a> Asking<'a> {
    /// Puts the request together. With a refresh token this waits for the turn to use it.
    async fn fill(&mut self) -> Result<Option<Turn<'a>>, SendFailure> {
        let wanted = self.wanted;
        let oauth = &wanted.oauth;
        let scope = oauth.scope();
        let mut turn = None;
        match &oauth.grant {
            Grant::ClientCredentials(proof) => {
                self.form.add("grant_type", "client_credentials");
                self.prove(proof).await?;
            }
            Grant::RefreshToken(token, proof) => {
                let given = self.secret(OauthSecret::Refresh, token).await?;
                self.form.add("grant_type", "refresh_token");
                self.prove(proof).await?;
                let (endpoint, client) = (oauth.endpoint.as_str(), oauth.client_id.as_str());
                let mine = self.grants.turns.take(endpoint, client, &given).await;
                let mine = mine.map_err(|text| failed(None, &text, &self.hidden))?;
                self.hidden.add(mine.token.as_str());
                self.form.add("refresh_token", &mine.token);
                turn = Some(mine);
            }
            Grant::ServiceAccount(key) => {
                let assertion = self.service_account(key, &scope).await?;
                let kind = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                self.form.add("grant_type", kind);
                self.form.add("assertion", &assertion);
            }
        }
        // Google reads a service account's scope from the assertion.
        if !scope.is_empty() && oauth.provider != Provider::Google {
            self.form.add("scope", &scope);
        }
        Ok(turn)
    }

    /// Shows who the client is.
    async fn prove(&mut self, proof: &ClientProof) -> Result<(), SendFailure> {
        let wanted = self.wanted;
        let client = &wanted.oauth.client_id;
        match proof {
            ClientProof::None => self.form.add("client_id", client),
            ClientProof::Post(secret) => {
                let secret = self.secret(OauthSecret::Client, secret).await?;
                self.form.add("client_id", client);
                self.form.add("client_secret", &secret);
            }
            ClientProof::Basic(secret) => {
                let secret = self.secret(OauthSecret::Client, secret).await?;
                let pair = Zeroizing::new(format!("{}:{}", *encoded(client), *encoded(&secret)));
                let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
                self.hidden.add(basic.as_str());
                self.basic = Some(basic);
            }
            ClientProof::Key(key) => {
                let claims = json!({ "iss": client, "sub": client });
                let assertion = self.assertion(key, claims).await?;
                self.form.add("client_id", client);
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                self.form.add("client_assertion_type", kind);
                self.form.add("client_assertion", &assertion);
            }
        }
        Ok(())
    }

    async fn service_account(
        &mut self,
        key: &SigningKey,
        scope: &str,
    ) -> Result<Zeroizing<String>, SendFailure> {
        let Wanted { oauth, username, .. } = self.wanted;
        let subject = if oauth.subject.is_empty() {
            username
        } else {
            &oauth.subject
        };
        let mut claims = json!({ "iss": oauth.client_id, "sub": subject });
        if let (Some(claims), false) = (claims.as_object_mut(), scope.is_empty()) {
            claims.insert("scope".into(), scope.into());
        }
        self.assertion(key, claims).await
    }

    /// A signed assertion: the claims, with who it is for and for how long it is good (RFC 7523, 3).
    async fn assertion(&mut self, key: &SigningKey, claims: Value) -> Result<Zeroizing<String>, SendFailure> {
        let wanted = self.wanted;
        let oauth = &wanted.oauth;
        let text = self.secret(OauthSecret::Key, &key.key).await?;
        let signed = Key::parse(&text).and_then(|parsed| {
            let claims = self.claims(key, &parsed, claims);
            let algorithm = key.algorithm.unwrap_or(match oauth.provider {
                _ if !parsed.is_rsa() => Algorithm::Es256,
                Provider::Microsoft365 => Algorithm::Ps256,
                Provider::Google | Provider::Other => Algorithm::Rs256,
            });
            let id = Some(key.key_id.as_str()).filter(|id| !id.is_empty());
            parsed.sign(algorithm, id.or(parsed.id.as_deref()), &claims)
        });
        let signed = signed.map_err(|error| failed(None, &error.to_string(), &self.hidden))?;
        self.hidden.add(signed.as_str());
        Ok(signed)
    }

    fn claims(&self, key: &SigningKey, parsed: &Key, mut claims: Value) -> Value {
        let oauth = &self.wanted.oauth;
        let now = self.grants.clock().now().as_micros() / 1_000_000;
        let id: [u8; 16] = random_bytes(self.grants.turns.entropy.as_ref());
        let audience = match key.audience.as_str() {
            "" => oauth.endpoint.as_str(),
            set => set,
        };
        let more = [
            ("aud", Value::from(audience)),
            ("iat", now.into()),
            ("nbf", (now - SKEW).into()),
            ("exp", (now + ASSERTION).into()),
            ("jti", URL_SAFE_NO_PAD.encode(id).into()),
        ];
        if let Some(claims) = claims.as_object_mut() {
            claims.extend(more.map(|(name, value)| (name.to_owned(), value)));
            if let (true, Some(account)) = (oauth.client_id.is_empty(), &parsed.account) {
                claims.insert("iss".into(), account.as_str().into());
            }
        }
        claims
    }

    async fn secret(
        &mut self,
        which: OauthSecret,
        secret: &Secret,
    ) -> Result<Zeroizing<String>, SendFailure> {
        let place = which.place(&self.wanted.account);
        // A key is parsed and signs; the others are sent as they are.
        let shape = match which {
            OauthSecret::Key => Shape::Text,
            OauthSecret::Client | OauthSecret::Refresh => Shape::Line,
        };
        let named_by = NamedBy::Account(&self.grants.settings.secret_files);
        let keyring = &self.grants.turns.keyring;
        let fetched = secret::fetch(&place, secret, keyring, named_by, MOST_SECRET, shape).await;
        let text = fetched.map_err(|text| {
            let text = format!("{}: {text}", which.field());
            failed(None, &text, &self.hidden)
        })?;
        self.hidden.add(text.as_str());
        Ok(text)
    }

    async fn exchange(&mut self) -> Result<Granted, SendFailure> {
        let wanted = self.wanted;
        let endpoint = &wanted.oauth.endpoint;
        let reached = self.grants.dialer.reach(endpoint, &self.grants.settings).await;
        let stream = reached.map_err(|failure| SendFailure {
            reply: format!("the token endpoint: {}: {}", failure.stage.name(), failure.reply),
            stage: Stage::Token,
            ..failure
        })?;
        let form = std::mem::take(&mut self.form).into_body();
        let basic = self.basic.as_ref().map(|basic| basic.as_str());
        let answer = http::post(stream, endpoint, basic, form).await;
        let Answer { status, body } = answer.map_err(|text| failed(None, &text, &self.hidden))?;
        answer::read(status, &body, &self.hidden)
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grants(..)")
    }
}
