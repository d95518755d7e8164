//! Tokens in memory: one for each account, got anew before it expires, by one request at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet};
use zeroize::Zeroizing;

use super::{
    Grants,
    answer::{Granted, failed},
    grant::Wanted,
};
use crate::{
    domain::{account::Account, clock::Timestamp, delivery::SendFailure, id::AccountId, oauth::Oauth},
    mail::reply::Hidden,
};

/// A token that will expire within this, or within a quarter of its life, is got anew while it is still used.
const AHEAD: Duration = Duration::from_mins(5);

/// One that will expire within this, or within a tenth of its life, is used no longer.
const MARGIN: Duration = Duration::from_secs(30);

/// How soon a request that was made ahead of time, and failed, is made again.
const AGAIN: Duration = Duration::from_secs(30);

/// An access token.
pub(in crate::mail) struct Token {
    /// The token itself.
    pub(in crate::mail) access: Zeroizing<String>,
    /// From when on the next one is got.
    refresh_from: Timestamp,
    /// From when on it is used no longer.
    stale_from: Timestamp,
}

/// A token to log in with.
pub(in crate::mail) struct Held {
    /// The token.
    pub(in crate::mail) token: Arc<Token>,
    /// Whether it was granted for this very login: a server that refuses it refuses the account.
    pub(in crate::mail) is_new: bool,
}

/// What a request comes back with, for everybody who waits for it.
type Outcome = Result<Arc<Token>, SendFailure>;
type Request = watch::Receiver<Option<Outcome>>;

/// What is known of one account.
#[derive(Default)]
struct Slot {
    version: i64,
    token: Option<Arc<Token>>,
    request: Option<Request>,
    /// Not ahead of time before this.
    patient_until: Timestamp,
}

/// The tokens of all accounts.
pub(in crate::mail) struct Tokens {
    grants: Arc<Grants>,
    slots: Arc<Mutex<HashMap<AccountId, Slot>>>,
    /// Requests under way. They end although nobody waits any more: what they bring may replace a refresh token.
    requests: Mutex<JoinSet<()>>,
}

impl Tokens {
    /// None yet.
    pub(in crate::mail) fn new(grants: Grants) -> Self {
        Self {
            grants: Arc::new(grants),
            slots: Arc::default(),
            requests: Mutex::default(),
        }
    }

    /// A token for an account: the one at hand, or a new one. `anew`: a new one in any case. Settings that are only tried
    /// out (version 0) leave nothing behind.
    pub(in crate::mail) async fn get(
        &self,
        account: &Account,
        oauth: &Oauth,
        anew: bool,
    ) -> Result<Held, SendFailure> {
        if account.version == 0 {
            let token = wait(self.begin(account, oauth)).await?;
            return Ok(Held { token, is_new: true });
        }
        let request = {
            let mut slots = lock(&self.slots);
            let slot = slot(&mut slots, account);
            let now = self.grants.clock().now();
            // Whoever made it is gone, and so is what it would have brought.
            if slot
                .request
                .as_ref()
                .is_some_and(|request| request.has_changed().is_err())
            {
                slot.request = None;
            }
            if let Some(token) = slot
                .token
                .as_ref()
                .filter(|token| !anew && now < token.stale_from)
            {
                let token = Arc::clone(token);
                if now >= token.refresh_from && now >= slot.patient_until && slot.request.is_none() {
                    slot.request = Some(self.begin(account, oauth));
                }
                return Ok(Held { token, is_new: false });
            }
            slot.request
                .get_or_insert_with(|| self.begin(account, oauth))
                .clone()
        };
        let token = wait(request).await?;
        Ok(Held { token, is_new: true })
    }

    /// The mail server refused a token: it is not used again.
    pub(in crate::mail) fn refused(&self, account: &Account, token: &Arc<Token>) {
        let mut slots = lock(&self.slots);
        let slot = slot(&mut slots, account);
        if slot.token.as_ref().is_some_and(|known| Arc::ptr_eq(known, token)) {
            slot.token = None;
        }
    }

    /// Forgets the tokens of all accounts but those that `keep` wants.
    pub(in crate::mail) fn retain(&self, keep: impl Fn(&AccountId) -> bool) {
        lock(&self.slots).retain(|id, _| keep(id));
    }

    /// Makes a request.
    fn begin(&self, account: &Account, oauth: &Oauth) -> Request {
        let login = account.settings.login.as_ref();
        let wanted = Wanted {
            account: account.id,
            username: login.map(|login| login.username.clone()).unwrap_or_default(),
            oauth: oauth.clone(),
        };
        let (version, name) = (account.version, account.settings.name.clone());
        let (grants, slots) = (Arc::clone(&self.grants), Arc::clone(&self.slots));
        let (sender, receiver) = watch::channel(None);
        let mine = receiver.clone();
        let work = async move {
            let asked = grants.clock().now();
            let outcome = grants.ask(&wanted).await.map(|granted| token(granted, asked));
            tell(&name, &outcome);
            if let Some(slot) = lock(&slots).get_mut(&wanted.account)
                && slot.version == version
                && slot
                    .request
                    .as_ref()
                    .is_some_and(|known| known.same_channel(&mine))
            {
                slot.request = None;
                match &outcome {
                    Ok(token) => slot.token = Some(Arc::clone(token)),
                    Err(_) => slot.patient_until = grants.clock().now().plus(AGAIN),
                }
            }
            sender.send_replace(Some(outcome));
        };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        while requests.try_join_next().is_some() {}
        requests.spawn(work);
        receiver
    }
}

async fn wait(mut request: Request) -> Outcome {
    let gone = || {
        failed(
            None,
            "the request for a token ended abnormally",
            &Hidden::default(),
        )
    };
    match request.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(gone())),
        Err(_) => Err(gone()),
    }
}

fn token(granted: Granted, asked: Timestamp) -> Arc<Token> {
    let expires = asked.plus(granted.lifetime);
    Arc::new(Token {
        access: granted.access,
        refresh_from: expires.minus(AHEAD.min(granted.lifetime / 4)),
        stale_from: expires.minus(MARGIN.min(granted.lifetime / 10)),
    })
}

fn tell(account: &str, outcome: &Outcome) {
    let became = match outcome {
        Ok(_) => "granted",
        Err(failure) if failure.is_rejection() => "refused",
        Err(_) => "failed",
    };
    metrics::counter!("mailfactor_oauth_tokens_total", "outcome" => became).increment(1);
    match outcome {
        Ok(_) => tracing::debug!(mail.account = %account, "an access token was granted"),
        Err(failure) => {
            tracing::warn!(mail.account = %account, oauth.reply = %failure.reply, "no access token was granted");
        }
    }
}

/// The account's slot; a changed account gets a new one.
fn slot<'a>(slots: &'a mut HashMap<AccountId, Slot>, account: &Account) -> &'a mut Slot {
    let found = slots.entry(account.id).or_default();
    if found.version != account.version {
        *found = Slot {
            version: account.version,
            ..Slot::default()
        };
    }
    found
}

fn lock(slots: &Mutex<HashMap<AccountId, Slot>>) -> std::sync::MutexGuard<'_, HashMap<AccountId, Slot>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(..)")
    }
}
