//! OAuth settings as arguments, and where their secrets come from.

use std::{io::Read as _, path::Path, str::FromStr};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::super::Failure;
use crate::pb::v1::{self as pb, oauth_secret::Source};

/// Who grants the tokens.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Provider {
    /// Microsoft 365; needs --oauth-tenant.
    Microsoft365,
    /// Google.
    Google,
    /// Somebody else; needs --oauth-token-endpoint.
    Other,
}

/// What tokens are asked for with.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Grant {
    /// The client's own name.
    ClientCredentials,
    /// A refresh token.
    RefreshToken,
    /// A service account's key.
    ServiceAccount,
}

/// How the client shows who it is.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ClientAuthentication {
    /// The client secret in the request's body.
    SecretPost,
    /// The client secret by HTTP Basic.
    SecretBasic,
    /// An assertion signed with the private key.
    PrivateKeyJwt,
    /// Not at all.
    None,
}

/// What assertions are signed with.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Algorithm {
    /// RSA with PKCS #1 padding.
    Rs256,
    /// RSA with PSS padding.
    Ps256,
    /// P-256.
    Es256,
}

/// How the mail server is shown the token.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mechanism {
    /// The usual one.
    Xoauth2,
    /// The standard's.
    Oauthbearer,
}

/// Where a secret is.
#[derive(Clone, Debug)]
enum Place {
    /// Here: it is read and sent.
    Here(String),
    /// In a file of the server.
    File(String),
    /// In a variable of the server.
    Environment(String),
}

/// What may be set of OAuth 2.0, in place of a password.
#[derive(Debug, Args)]
#[command(next_help_heading = "OAuth 2.0, in place of a password")]
#[expect(clippy::struct_field_names, reason = "named as the options are")]
pub(super) struct Oauth {
    /// Who grants the access tokens.
    #[arg(long, value_enum)]
    oauth_provider: Option<Provider>,
    /// The tenant at Microsoft 365: the directory's id or a domain.
    #[arg(long, value_name = "TENANT")]
    oauth_tenant: Option<String>,
    /// The token endpoint, where the provider is another.
    #[arg(long, value_name = "URL")]
    oauth_token_endpoint: Option<String>,
    /// A scope in place of the provider's; may be given more than once.
    #[arg(long, value_name = "SCOPE")]
    oauth_scope: Vec<String>,
    /// What tokens are asked for with; without it, client credentials.
    #[arg(long, value_enum)]
    oauth_grant: Option<Grant>,
    /// The client's (application's) identifier.
    #[arg(long, value_name = "ID")]
    oauth_client_id: Option<String>,
    /// How the client shows who it is; without it, by what is given.
    #[arg(long, value_enum)]
    oauth_client_authentication: Option<ClientAuthentication>,
    /// The client secret: a FILE to read and send (`-`: standard input), or `server:PATH` or `environment:NAME` of the
    /// server.
    #[arg(long, value_name = "PLACE")]
    oauth_client_secret: Option<Place>,
    /// The private key in PEM, its certificate after it where the provider wants one, or Google's JSON file: a place as
    /// for --oauth-client-secret.
    #[arg(long, value_name = "PLACE")]
    oauth_private_key: Option<Place>,
    /// The refresh token: a place as for --oauth-client-secret.
    #[arg(long, value_name = "PLACE")]
    oauth_refresh_token: Option<Place>,
    /// What assertions are signed with; without it, what suits key and provider.
    #[arg(long, value_enum)]
    oauth_signing_algorithm: Option<Algorithm>,
    /// The key's identifier, for providers that want one.
    #[arg(long, value_name = "ID")]
    oauth_key_id: Option<String>,
    /// The audience of assertions, where it is not the token endpoint.
    #[arg(long, value_name = "TEXT")]
    oauth_audience: Option<String>,
    /// The mailbox that a service account speaks for; without it, the user name.
    #[arg(long, value_name = "ADDRESS")]
    oauth_subject: Option<String>,
    /// How the mail server is shown the token.
    #[arg(long, value_enum)]
    oauth_mechanism: Option<Mechanism>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.split_once(':') {
            Some(("server", path)) => Self::File(path.to_owned()),
            Some(("environment", name)) => Self::Environment(name.to_owned()),
            _ if text.is_empty() => return Err("names no place".to_owned()),
            _ => Self::Here(text.to_owned()),
        })
    }
}

impl Place {
    fn read(&self, lines: bool) -> Result<pb::OauthSecret, Failure> {
        let source = match self {
            Self::File(path) => Source::File(path.clone()),
            Self::Environment(name) => Source::Environment(name.clone()),
            Self::Here(path) => {
                let mut text = String::new();
                let read = if path == "-" {
                    std::io::stdin().read_to_string(&mut text).map(|_| ())
                } else {
                    std::fs::read_to_string(Path::new(path)).map(|read| text = read)
                };
                read.map_err(|error| Failure::say(format!("{path} cannot be read: {error}")))?;
                // Editors end a file with a line break; no secret of one line does.
                Source::Value(if lines { text } else { text.trim_end().to_owned() })
            }
        };
        Ok(pb::OauthSecret { source: Some(source) })
    }
}

impl Oauth {
    /// Sets what was given; says whether anything was.
    pub(super) fn apply(&self, account: &mut pb::Account) -> Result<bool, Failure> {
        let before = account.oauth.clone().unwrap_or_default();
        let mut oauth = before.clone();
        self.apply_choices(&mut oauth);
        let text = |given: &Option<String>, slot: &mut String| {
            if let Some(given) = given {
                slot.clone_from(given);
            }
        };
        text(&self.oauth_tenant, &mut oauth.tenant);
        text(&self.oauth_token_endpoint, &mut oauth.token_endpoint);
        text(&self.oauth_client_id, &mut oauth.client_id);
        text(&self.oauth_key_id, &mut oauth.key_id);
        text(&self.oauth_audience, &mut oauth.audience);
        text(&self.oauth_subject, &mut oauth.subject);
        if !self.oauth_scope.is_empty() {
            oauth.scopes.clone_from(&self.oauth_scope);
        }
        // Another proof takes the place of the one before, unless it is said how the client shows who it is.
        let by = self.oauth_client_authentication.is_none();
        if let Some(place) = &self.oauth_client_secret {
            if by && oauth.client_secret.is_none() {
                oauth.set_client_authentication(pb::OauthClientAuthentication::Unspecified);
                oauth.private_key = None;
            }
            oauth.client_secret = Some(place.read(false)?);
        }
        if let Some(place) = &self.oauth_private_key {
            if by && oauth.private_key.is_none() {
                oauth.set_client_authentication(pb::OauthClientAuthentication::Unspecified);
                oauth.client_secret = None;
            }
            oauth.private_key = Some(place.read(true)?);
        }
        if let Some(place) = &self.oauth_refresh_token {
            oauth.refresh_token = Some(place.read(false)?);
        }
        if oauth == before {
            return Ok(false);
        }
        account.oauth = Some(oauth);
        Ok(true)
    }

    fn apply_choices(&self, oauth: &mut pb::Oauth) {
        if let Some(provider) = self.oauth_provider {
            oauth.set_provider(match provider {
                Provider::Microsoft365 => pb::OauthProvider::Microsoft365,
                Provider::Google => pb::OauthProvider::Google,
                Provider::Other => pb::OauthProvider::Unspecified,
            });
            oauth.token_endpoint.clear();
        }
        if self.oauth_tenant.is_some() {
            // It is the provider's, and of another tenant from now on.
            oauth.token_endpoint.clear();
        }
        if let Some(grant) = self.oauth_grant {
            oauth.set_grant(match grant {
                Grant::ClientCredentials => pb::OauthGrant::ClientCredentials,
                Grant::RefreshToken => pb::OauthGrant::RefreshToken,
                Grant::ServiceAccount => pb::OauthGrant::ServiceAccount,
            });
        }
        if let Some(by) = self.oauth_client_authentication {
            oauth.set_client_authentication(match by {
                ClientAuthentication::SecretPost => pb::OauthClientAuthentication::SecretPost,
                ClientAuthentication::SecretBasic => pb::OauthClientAuthentication::SecretBasic,
                ClientAuthentication::PrivateKeyJwt => pb::OauthClientAuthentication::PrivateKeyJwt,
                ClientAuthentication::None => pb::OauthClientAuthentication::None,
            });
        }
        if let Some(algorithm) = self.oauth_signing_algorithm {
            oauth.set_signing_algorithm(match algorithm {
                Algorithm::Rs256 => pb::OauthSigningAlgorithm::Rs256,
                Algorithm::Ps256 => pb::OauthSigningAlgorithm::Ps256,
                Algorithm::Es256 => pb::OauthSigningAlgorithm::Es256,
            });
        }
        if let Some(mechanism) = self.oauth_mechanism {
            oauth.set_mechanism(match mechanism {
                Mechanism::Xoauth2 => pb::OauthMechanism::Xoauth2,
                Mechanism::Oauthbearer => pb::OauthMechanism::Oauthbearer,
            });
        }
    }
}

/// OAuth settings for people, in one line.
pub(in crate::cli) fn line(oauth: Option<&pb::Oauth>) -> String {
    oauth.map_or_else(String::new, |oauth| {
        let grant = super::super::show::word(oauth.grant().as_str_name(), "OAUTH_GRANT_");
        format!("{} from {}", grant.replace('_', " "), oauth.token_endpoint)
    })
}

/// OAuth settings for scripts.
pub(in crate::cli) fn value(oauth: Option<&pb::Oauth>) -> Value {
    let Some(oauth) = oauth else {
        return Value::Null;
    };
    let secret = |secret: &Option<pb::OauthSecret>| match secret.as_ref().and_then(|it| it.source.as_ref()) {
        None => String::new(),
        Some(Source::File(path)) => format!("file {path}"),
        Some(Source::Environment(name)) => format!("environment {name}"),
        Some(Source::Value(_) | Source::Sealed(_)) => "set".to_owned(),
    };
    json!({
        "provider": oauth.provider().as_str_name(),
        "tenant": oauth.tenant,
        "token_endpoint": oauth.token_endpoint,
        "scopes": oauth.scopes,
        "grant": oauth.grant().as_str_name(),
        "client_id": oauth.client_id,
        "client_authentication": oauth.client_authentication().as_str_name(),
        "client_secret": secret(&oauth.client_secret),
        "private_key": secret(&oauth.private_key),
        "refresh_token": secret(&oauth.refresh_token),
        "signing_algorithm": oauth.signing_algorithm().as_str_name(),
        "key_id": oauth.key_id,
        "audience": oauth.audience,
        "subject": oauth.subject,
        "mechanism": oauth.mechanism().as_str_name(),
    })
}
