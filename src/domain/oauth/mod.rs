//! OAuth 2.0 of a mail account: which token endpoint grants access tokens, to whom, and what proves who asks.
//!
//! [`OauthDraft`] is what an administrator wrote; its check makes [`Oauth`] of it. Microsoft 365 and Google are known:
//! their token endpoints and scopes need not be set.

mod draft;
mod endpoint;
mod proof;
mod written;

pub use draft::{MOST_SECRET, OauthDraft};
pub use endpoint::{EndpointError, TokenEndpoint};

use super::{account::Secret, id::AccountId};

macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name in the store and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            /// The one of a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.name() == name)
            }
        }
    };
}

/// Who grants the tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// Somebody else: the token endpoint is set.
    #[default]
    Other,
    /// Microsoft 365 (Entra ID).
    Microsoft365,
    /// Google.
    Google,
}

named!(Provider { Other = "other", Microsoft365 = "microsoft365", Google = "google" });

/// What tokens are asked for with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantKind {
    /// In the client's own name (RFC 6749, 4.4).
    #[default]
    ClientCredentials,
    /// With a refresh token that somebody consented to (RFC 6749, 6).
    RefreshToken,
    /// With an assertion that speaks for the mailbox (RFC 7523, 2.1), as Google's service accounts do.
    ServiceAccount,
}

named!(GrantKind {
    ClientCredentials = "client-credentials",
    RefreshToken = "refresh-token",
    ServiceAccount = "service-account",
});

/// How the client shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// The client secret in the body of the request (RFC 6749, 2.3.1).
    SecretPost,
    /// The client secret by HTTP Basic (RFC 6749, 2.3.1).
    SecretBasic,
    /// An assertion signed with the client's key (RFC 7523, 2.2).
    PrivateKeyJwt,
    /// Not at all: a public client with a refresh token.
    None,
}

named!(ClientAuthentication {
    SecretPost = "secret-post",
    SecretBasic = "secret-basic",
    PrivateKeyJwt = "private-key-jwt",
    None = "none",
});

/// What assertions are signed with (RFC 7518, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
}

named!(Algorithm { Rs256 = "RS256", Ps256 = "PS256", Es256 = "ES256" });

/// How the mail server is shown the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mechanism {
    /// Google's and Microsoft's own, and the usual one.
    #[default]
    Xoauth2,
    /// The standard's (RFC 7628).
    OauthBearer,
}

named!(Mechanism { Xoauth2 = "XOAUTH2", OauthBearer = "OAUTHBEARER" });

/// What assertions are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// The private key in PEM, with its certificate beside it where the provider knows keys by certificates; or Google's
    /// JSON file of a service account.
    pub key: Secret,
    /// `None`: ES256 for a key on P-256, PS256 for an RSA key at Microsoft 365, else RS256.
    pub algorithm: Option<Algorithm>,
    /// The `kid` of the header; empty: none.
    pub key_id: String,
    /// The `aud` of the claims; empty: the token endpoint.
    pub audience: String,
}

/// What shows who the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientProof {
    /// Nothing.
    None,
    /// A secret in the body.
    Post(Secret),
    /// A secret by HTTP Basic.
    Basic(Secret),
    /// A signed assertion.
    Key(SigningKey),
}

/// What tokens are asked for with, and what that takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// See [`GrantKind::ClientCredentials`].
    ClientCredentials(ClientProof),
    /// See [`GrantKind::RefreshToken`]: the token that an administrator gave, perhaps replaced since.
    RefreshToken(Secret, ClientProof),
    /// See [`GrantKind::ServiceAccount`].
    ServiceAccount(SigningKey),
}

impl Grant {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> GrantKind {
        match self {
            Self::ClientCredentials(_) => GrantKind::ClientCredentials,
            Self::RefreshToken(..) => GrantKind::RefreshToken,
            Self::ServiceAccount(_) => GrantKind::ServiceAccount,
        }
    }
}

/// How an account gets its access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oauth {
    /// Who grants them.
    pub provider: Provider,
    /// The tenant at Microsoft 365: a GUID or a domain.
    pub tenant: String,
    /// The token endpoint: the provider's, or the one that was set.
    pub endpoint: TokenEndpoint,
    /// The scopes that were set; empty: the provider's.
    pub scopes: Vec<String>,
    /// The client's identifier. Empty with a service account: the JSON file says it.
    pub client_id: String,
    /// What tokens are asked for with.
    pub grant: Grant,
    /// Whom a service account speaks for; empty: the account's user name.
    pub subject: String,
    /// How the mail server is shown them.
    pub mechanism: Mechanism,
}

/// Which of an account's OAuth secrets: each is sealed for a place of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OauthSecret {
    /// The client secret.
    Client,
    /// The private key.
    Key,
    /// The refresh token that was given.
    Refresh,
}

impl OauthSecret {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Client, Self::Key, Self::Refresh];

    /// The place it is sealed for.
    #[must_use]
    pub fn place(self, account: &AccountId) -> String {
        format!("account/{account}/oauth/{}", self.field())
    }

    /// Its field in the protocol.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Client => "client_secret",
            Self::Key => "private_key",
            Self::Refresh => "refresh_token",
        }
    }
}

impl Oauth {
    /// The scope to ask for, as the request writes it; empty: none is asked for, which means what was consented to.
    #[must_use]
    pub fn scope(&self) -> String {
        if !self.scopes.is_empty() {
            return self.scopes.join(" ");
        }
        match (self.provider, &self.grant) {
            (_, Grant::RefreshToken(..)) | (Provider::Other, _) => String::new(),
            (Provider::Microsoft365, _) => "https://outlook.office365.com/.default".to_owned(),
            (Provider::Google, _) => "https://mail.google.com/".to_owned(),
        }
    }

    /// One of its secrets, if it has it.
    #[must_use]
    pub fn secret(&self, which: OauthSecret) -> Option<&Secret> {
        let proof = match &self.grant {
            Grant::ClientCredentials(proof) => proof,
            Grant::RefreshToken(token, proof) => {
                if which == OauthSecret::Refresh {
                    return Some(token);
                }
                proof
            }
            Grant::ServiceAccount(key) => return (which == OauthSecret::Key).then_some(&key.key),
        };
        match (which, proof) {
            (OauthSecret::Client, ClientProof::Post(secret) | ClientProof::Basic(secret)) => Some(secret),
            (OauthSecret::Key, ClientProof::Key(key)) => Some(&key.key),
            _ => None,
        }
    }
}
