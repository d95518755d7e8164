//! The service: one instance or several on one store, a mail server, and callers that turn to whoever lives.

use std::{collections::BTreeMap, path::PathBuf, sync::Mutex, time::Duration};

use mailfactor::{config::keys::load, domain::caller::Role, pb::v1 as pb, system::SystemEntropy};
use tokio::{sync::watch, time::timeout};

use crate::harness::{
    client::Client,
    in_time,
    postgres::{Postgres, url},
    process::Process,
    proxy::Proxy,
    service::{Home, PATIENCE, metrics_page},
    smtp::SmtpServer,
};

/// Where the users' addresses are: nobody else's name, so that it can be looked for.
pub(crate) const DOMAIN: &str = "ledger-canary.example";

/// All of it; everything ends when it is dropped.
pub(crate) struct Fleet {
    pub(crate) home: Home,
    /// The store, where it is not a file of the home: a server, and the name of the database.
    pub(crate) postgres: Option<(Postgres, String)>,
    pub(crate) smtp: SmtpServer,
    pub(crate) users: usize,
    pub(crate) admin: String,
    pub(crate) idp: String,
    running: Mutex<BTreeMap<usize, Process>>,
    callable: watch::Sender<BTreeMap<usize, Client>>,
    logs: Mutex<Vec<PathBuf>>,
}

impl Fleet {
    /// One instance that serves these many users; mail goes to the scripted server.
    pub(crate) async fn set(home: Home, users: usize) -> Self {
        let fleet = Self::prepare(home, users).await;
        fleet.up(0, &[]).await;
        fleet.mails_go_out().await;
        fleet
    }

    /// The same, with no instance yet.
    pub(crate) async fn prepare(home: Home, users: usize) -> Self {
        let home = home
            // Letters, so that a code is found wherever it stands.
            .with("policy.code.alphabet", "letters")
            .with("policy.code.length", 10)
            .with("policy.resend.after", "5s")
            .with("shutdown.notice", "250ms")
            .with("log.filter", "debug");
        let names: Vec<(String, String)> = (0..users).map(|number| (name(number), address(number))).collect();
        let borrowed: Vec<(&str, &str)> = names
            .iter()
            .map(|(name, email)| (name.as_str(), email.as_str()))
            .collect();
        home.users(&borrowed);
        let admin = home.caller("ops", Role::Admin).await;
        let idp = home.caller("idp", Role::Authenticator).await;
        Self {
            home,
            postgres: None,
            smtp: SmtpServer::plain().await,
            users,
            admin,
            idp,
            running: Mutex::default(),
            callable: watch::channel(BTreeMap::new()).0,
            logs: Mutex::default(),
        }
    }

    /// So many instances on a PostgreSQL of their own, which they reach through a proxy; or the test skips.
    pub(crate) async fn on_postgres(users: usize, instances: usize) -> Option<(Self, Proxy)> {
        let server = Postgres::start()?;
        let database = server.database();
        let line = Proxy::start(server.address).await;
        let mut home = Home::new().with("store.url", url(line.address, &database));
        let keys = home.path("mailfactor.keys");
        load(&keys, true, &SystemEntropy).unwrap();
        home.set("keys.file", keys.display().to_string());
        let mut fleet = Self::prepare(home, users).await;
        fleet.postgres = Some((server, database));
        for number in 0..instances {
            fleet.up(number, &[]).await;
        }
        fleet.mails_go_out().await;
        Some((fleet, line))
    }

    /// Sets up the account that mail goes through.
    pub(crate) async fn mails_go_out(&self) {
        self.administrator().await.mail_through(self.smtp.address).await;
    }

    /// Starts the instance of this number, with environment variables.
    pub(crate) async fn up(&self, number: usize, variables: &[(&str, &str)]) {
        let process = self.home.spawn_with(variables).await;
        self.logs.lock().unwrap().push(process.log_file().to_owned());
        let client = process.client(&self.idp).await;
        self.running.lock().unwrap().insert(number, process);
        self.callers_see(number, Some(client));
    }

    /// Tells callers of an instance, or that it is not to be called.
    pub(crate) fn callers_see(&self, number: usize, client: Option<Client>) {
        self.callable.send_modify(|callable| match client {
            Some(client) => drop(callable.insert(number, client)),
            None => drop(callable.remove(&number)),
        });
    }

    /// `kill -9`.
    pub(crate) fn kill(&self, number: usize) {
        self.take(number).kill();
    }

    /// Takes an instance out: callers do not see it any more, and it is whoever took it who ends it.
    pub(crate) fn take(&self, number: usize) -> Process {
        self.callers_see(number, None);
        self.running.lock().unwrap().remove(&number).unwrap()
    }

    /// Works with a running instance.
    pub(crate) fn with<T>(&self, number: usize, work: impl FnOnce(&mut Process) -> T) -> T {
        work(self.running.lock().unwrap().get_mut(&number).unwrap())
    }

    /// An instance that can be called, the nth of them; waits for one.
    pub(crate) async fn client(&self, nth: usize) -> Client {
        let mut callable = self.callable.subscribe();
        let found = in_time(callable.wait_for(|callable| !callable.is_empty())).await;
        let callable = found.unwrap();
        callable.values().nth(nth % callable.len()).unwrap().clone()
    }

    /// As administrator, of any instance.
    pub(crate) async fn administrator(&self) -> Client {
        let address = self
            .running
            .lock()
            .unwrap()
            .values()
            .next()
            .expect("an instance")
            .grpc;
        Client::connect(address, &self.admin).await
    }

    /// Waits until no mail is owed any more. What it took.
    pub(crate) async fn drained(&self, within: Duration) -> Duration {
        let admin = self.administrator().await;
        let since = tokio::time::Instant::now();
        let done = timeout(within, async {
            while !open_entries(&admin).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        if done.await.is_err() {
            let owed = open_entries(&admin).await;
            assert!(
                owed.is_empty(),
                "owed for more than {within:?}: {:#?}",
                owed.first()
            );
        }
        since.elapsed()
    }

    /// What all instances logged and the living ones measure.
    pub(crate) async fn told(&self) -> Vec<(String, Vec<u8>)> {
        let logs = self.logs.lock().unwrap().clone();
        let mut told: Vec<(String, Vec<u8>)> = logs
            .iter()
            .map(|log| (log.display().to_string(), std::fs::read(log).unwrap()))
            .collect();
        let pages: Vec<_> = self
            .running
            .lock()
            .unwrap()
            .values()
            .map(|process| process.metrics)
            .collect();
        for page in pages {
            told.push(("metrics".to_owned(), metrics_page(page).await.into_bytes()));
        }
        told
    }

    /// Ends every instance in order.
    pub(crate) async fn stop(self) {
        let running = std::mem::take(&mut *self.running.lock().unwrap());
        for process in running.into_values() {
            process.stop().await;
        }
    }

    /// Waits until an instance has ended by itself, and takes it out.
    pub(crate) async fn ended(&self, number: usize, after: &str) {
        let ended = timeout(PATIENCE, async {
            while self.with(number, Process::end).is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(ended.await.is_ok(), "the instance does not end: {after}");
        drop(self.take(number));
    }
}

/// The name of a user.
pub(crate) fn name(user: usize) -> String {
    format!("user{user}")
}

/// The address of a user.
pub(crate) fn address(user: usize) -> String {
    format!("user{user}@{DOMAIN}")
}

/// The entries that answer a question, page by page.
pub(crate) async fn entries(admin: &Client, request: pb::ListEntriesRequest) -> Vec<pb::OutboxEntry> {
    let mut request = pb::ListEntriesRequest {
        page_size: 500,
        ..request
    };
    let mut found = Vec::new();
    loop {
        let page = admin.outbox.clone().list_entries(request.clone()).await;
        let page = page.unwrap().into_inner();
        found.extend(page.entries);
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

async fn open_entries(admin: &Client) -> Vec<pb::OutboxEntry> {
    let states = vec![
        pb::DeliveryState::Queued.into(),
        pb::DeliveryState::Deferred.into(),
    ];
    let request = pb::ListEntriesRequest {
        page_size: 1,
        states,
        ..pb::ListEntriesRequest::default()
    };
    // One is enough to know; where the store is away, it is asked again.
    let page = admin.outbox.clone().list_entries(request).await;
    page.map_or_else(
        |_| vec![pb::OutboxEntry::default()],
        |page| page.into_inner().entries,
    )
}
