//! The ground that faults happen on: a home with users, a mail server, and the keys of two callers.

use std::{net::SocketAddr, time::Duration};

use mailfactor::{domain::caller::Role, pb::v1 as pb};
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt as _;

use super::{
    ManualClock,
    client::{Client, health},
    service::{Home, PATIENCE, Service},
    smtp::{Options, SmtpServer},
};
use mailfactor::{app::Machine, system::SystemEntropy};

/// A home, a mail server, and two callers' keys.
pub struct Ground {
    pub home: Home,
    pub smtp: SmtpServer,
    pub admin: String,
    pub idp: String,
}

impl Ground {
    /// In this home, with a mail server as they are today, and users `u0` to `u9` and `ann`.
    pub async fn set(home: Home) -> Self {
        let names: Vec<(String, String)> = (0..10)
            .map(|number| format!("u{number}"))
            .chain(["ann".to_owned()])
            .map(|name| (name.clone(), format!("{name}@example.com")))
            .collect();
        let users: Vec<(&str, &str)> = names
            .iter()
            .map(|(name, email)| (name.as_str(), email.as_str()))
            .collect();
        home.users(&users);
        let admin = home.caller("ops", Role::Admin).await;
        let idp = home.caller("idp", Role::Authenticator).await;
        let smtp = SmtpServer::start(Options::modern()).await;
        Self {
            home,
            smtp,
            admin,
            idp,
        }
    }

    /// Serves with this machine; mail goes to the scene's server.
    pub async fn serve(&self, machine: Machine) -> (Service, Client) {
        let service = self.home.serve(machine).await;
        let admin = service.client(&self.admin).await;
        admin.mail_through(self.smtp.address).await;
        let idp = service.client(&self.idp).await;
        (service, idp)
    }
}

/// A machine whose clock is moved by hand.
pub fn machine(clock: &std::sync::Arc<ManualClock>) -> Machine {
    Machine {
        clock: clock.clone(),
        entropy: std::sync::Arc::new(SystemEntropy),
    }
}

/// A status and its reason.
pub fn reason(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info();
    (status.code(), info.map(|info| info.reason).unwrap_or_default())
}

/// When a status asks its caller to come back.
pub fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// Waits until health says this of a service.
pub async fn wait_for_health(address: SocketAddr, service: &str, wanted: ServingStatus, limit: Duration) {
    let reached = timeout(limit, async {
        while health(address, service).await != Some(wanted) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(
        reached.await.is_ok(),
        "health of `{service}` does not become {wanted:?}"
    );
}

/// The outbox's newest entry, with its attempts.
pub async fn newest_entry(admin: &Client) -> (pb::OutboxEntry, Vec<pb::Attempt>) {
    let request = pb::ListEntriesRequest::default();
    let list = admin.outbox.clone().list_entries(request).await.unwrap();
    let entry_id = list.into_inner().entries[0].entry_id.clone();
    let request = pb::GetEntryRequest { entry_id };
    let found = admin
        .outbox
        .clone()
        .get_entry(request)
        .await
        .unwrap()
        .into_inner();
    (found.entry.unwrap(), found.attempts)
}

/// Waits until the outbox's newest entry is so.
pub async fn wait_for_entry(
    admin: &Client,
    wanted: impl Fn(&pb::OutboxEntry) -> bool,
) -> (pb::OutboxEntry, Vec<pb::Attempt>) {
    let reached = timeout(PATIENCE, async {
        loop {
            let (entry, attempts) = newest_entry(admin).await;
            if wanted(&entry) {
                return (entry, attempts);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    if let Ok(found) = reached.await {
        return found;
    }
    panic!("the entry does not get there: {:?}", newest_entry(admin).await)
}
