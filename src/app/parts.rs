//! The parts, each from its section of the configuration.

use std::{sync::Arc, time::Duration};

use super::{BuildError, Machine, directory::directory};
use crate::{
    config::{Config, StorePlace, Users},
    domain::{account::Secret, address::ascii_domain, clock::Clock, keyring::Keyring},
    factor::{Desk, DeskSettings, PasswordChecks},
    grpc::{Door, DoorSettings, TlsFiles},
    mail::{Collector, Library, MailSettings, Renderer, Rounds, Signer, Transports, Worker, WorkerSettings},
    policy::{Gate, InboxOffice, Office, OfficeSettings, ReportLane, Vitals},
    repository::Directory,
    store::{
        Accounts, Inboxes,
        account_book::AccountBook,
        cached::CachedChallenges,
        cached_accounts::CachedAccounts,
        changes::Changes,
        handoff::{Tray, handoff},
        policy_book::PolicyBook,
        sql::SqlStore,
    },
};

/// Fresh mails that may wait for this instance's worker: a second's worth of a fast mail server.
const TRAY: usize = 1_024;

/// Pending challenges kept in memory, at well under a kilobyte each.
const CACHED_CHALLENGES: u64 = 100_000;

/// How long a caller that was removed may still call. With the second after which open streams are looked at: less than 5 s.
const CALLER_TTL: Duration = Duration::from_secs(3);

/// How often a watched challenge is looked at without news.
const WATCH_POLL: Duration = Duration::from_secs(2);

/// What runs.
pub(super) struct Parts {
    pub(super) door: Door,
    pub(super) worker: Arc<Worker>,
    pub(super) tray: Tray,
    pub(super) policies: Arc<PolicyBook>,
    pub(super) accounts: Arc<AccountBook>,
    pub(super) rounds: Rounds,
    pub(super) directory: Arc<Directory>,
}

/// Puts the parts together.
pub(super) fn assemble(
    config: &Config,
    machine: &Machine,
    store: &SqlStore,
    keyring: Arc<Keyring>,
) -> Result<Parts, BuildError> {
    let Machine { clock, entropy } = machine.clone();
    let shared = Arc::new(store.clone());
    let hello_name = hello_name(config);
    let message_id_domain = message_id_domain(config, &hello_name);
    let transports = Transports::new(
        mail_settings(config, hello_name),
        keyring.clone(),
        clock.clone(),
        entropy.clone(),
        shared.clone(),
    )?;
    let transports = Arc::new(transports);
    let (handoff, tray) = handoff(TRAY);
    let changes = Changes::new();
    let policies = Arc::new(PolicyBook::new(config.policies.clone(), shared.clone()));
    let files = transports.settings().secret_files.clone();
    let signer = Arc::new(Signer::new(shared.clone(), keyring.clone()).with_files(files));
    let library = Arc::new(Library::new(shared.clone(), &config.delivery.default_locale));
    let renderer =
        Renderer::new(&config.delivery.default_locale).with_code_in_subject(config.delivery.code_in_subject);
    let accounts = Arc::new(AccountBook::new(shared.clone()));
    let mail_accounts = Arc::new(CachedAccounts::new(shared.clone()));
    let worker = Worker {
        clock: clock.clone(),
        entropy: entropy.clone(),
        keyring: keyring.clone(),
        outbox: shared.clone(),
        accounts: mail_accounts.clone(),
        transports: transports.clone(),
        renderer: Arc::new(renderer),
        library: library.clone(),
        signer: signer.clone(),
        policies: policies.clone(),
        changes: changes.clone(),
        settings: WorkerSettings {
            concurrency: config.delivery.concurrency,
            poll: config.delivery.poll,
        },
    };
    let (inboxes, rounds) = inboxes(machine, store, &keyring, &transports, &changes);
    let directory = Arc::new(directory(&config.users)?);
    let desk = Desk {
        clock: clock.clone(),
        entropy: entropy.clone(),
        keyring: keyring.clone(),
        challenges: challenges(config, &shared, &clock),
        budgets: shared.clone(),
        password_checks: PasswordChecks::default(),
        outbox: shared.clone(),
        confirmations: shared.clone(),
        directory: directory.clone(),
        policies: policies.clone(),
        handoff: handoff.clone(),
        accounts: accounts.clone(),
        changes,
        settings: desk_settings(config, message_id_domain.clone()),
    };
    let office = Office {
        clock,
        entropy,
        keyring,
        accounts: mail_accounts,
        outbox: shared.clone(),
        audit: shared.clone(),
        reports: ReportLane::default(),
        set_policies: shared.clone(),
        policies: policies.clone(),
        transports: transports.clone(),
        dkim: shared.clone(),
        signer,
        templates: shared.clone(),
        library,
        handoff,
        settings: OfficeSettings {
            local_part: config.users.local_part,
            tested_only: config.delivery.tested_accounts_only,
            message_id_domain,
            repositories: names(&config.users),
            code_in_subject: config.delivery.code_in_subject,
            test_lifetime: config.delivery.test_lifetime,
            wait: config.delivery.wait,
        },
    };
    let door = Door {
        desk: Arc::new(desk),
        office: Arc::new(office),
        inboxes: Arc::new(inboxes),
        gate: Arc::new(Gate::new(shared.clone(), CALLER_TTL)),
        vitals: Arc::new(Vitals::new(shared, transports)),
        settings: door_settings(config),
    };
    Ok(Parts {
        door,
        worker: Arc::new(worker),
        tray,
        policies,
        accounts,
        rounds,
        directory,
    })
}

/// Challenges, with those that are pending at hand.
fn challenges(config: &Config, store: &Arc<SqlStore>, clock: &Arc<dyn Clock>) -> Arc<CachedChallenges> {
    let shared = matches!(config.store.place, StorePlace::Postgres(_));
    let cached = CachedChallenges::new(store.clone(), clock.clone(), CACHED_CHALLENGES);
    Arc::new(cached.on_shared_store(shared))
}

/// The names of the repositories.
fn names(users: &Users) -> Vec<String> {
    let known = users.repositories.iter();
    known.map(|repository| repository.name.clone()).collect()
}

/// The use cases of inboxes, and the rounds that read them.
fn inboxes(
    machine: &Machine,
    store: &SqlStore,
    keyring: &Arc<Keyring>,
    transports: &Arc<Transports>,
    changes: &Changes,
) -> (InboxOffice, Rounds) {
    let store = Arc::new(store.clone());
    let collector = Collector {
        clock: machine.clock.clone(),
        entropy: machine.entropy.clone(),
        keyring: keyring.clone(),
        inboxes: store.clone(),
        reports: store,
        transports: transports.clone(),
        changes: changes.clone(),
    };
    let (rounds, desk) = collector.clone().rounds();
    let office = InboxOffice { collector, desk };
    (office, rounds)
}

fn mail_settings(config: &Config, hello_name: String) -> MailSettings {
    let delivery = &config.delivery;
    MailSettings {
        hello_name,
        // What the configuration took for a network is one here too: both read the same notation.
        egress: delivery
            .egress
            .iter()
            .filter_map(|network| network.to_string().parse().ok())
            .collect(),
        connect_timeout: delivery.timeouts.connect,
        tls_timeout: delivery.timeouts.tls,
        command_timeout: delivery.timeouts.command,
        accept_timeout: delivery.timeouts.accept,
        // Leaves as much for the mail server.
        token_timeout: delivery.timeouts.attempt / 2,
        attempt_timeout: delivery.timeouts.attempt,
        pool_size: delivery.pool_size,
        pool_idle: delivery.pool_idle,
        extra_roots: delivery.extra_ca.clone(),
        default_credentials: config.default_credentials.clone(),
        secret_files: Arc::new(config.secret_files.clone()),
        ..MailSettings::default()
    }
}

fn desk_settings(config: &Config, message_id_domain: String) -> DeskSettings {
    DeskSettings {
        default_locale: config.delivery.default_locale.clone(),
        message_id_domain,
        decoy_domains: config.decoy_domains.clone(),
        wait: config.delivery.wait,
        poll: WATCH_POLL,
    }
}

fn door_settings(config: &Config) -> DoorSettings {
    let server = &config.server;
    let limits = &server.limits;
    DoorSettings {
        tls: server.tls.as_ref().map(|tls| TlsFiles {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            client_ca: tls.client_ca.clone(),
        }),
        reflection: server.reflection,
        handshake_timeout: limits.handshake_timeout,
        most_connections: limits.connections,
        most_requests: limits.requests,
        most_streams: limits.streams,
        message_limit: limits.message_bytes,
        header_limit: limits.header_bytes,
        keepalive_interval: limits.keepalive,
        notice: config.ending.notice,
        local_part: config.users.local_part,
        ..DoorSettings::default()
    }
}

/// The configured name, or the machine's where it has a domain: a mail server may refuse one that has none.
fn hello_name(config: &Config) -> String {
    let configured = config.delivery.hello_name.clone();
    configured
        .or_else(|| {
            let machine = rustix::system::uname();
            ascii_domain(&machine.nodename().to_string_lossy()).ok()
        })
        .unwrap_or_else(|| "localhost.localdomain".to_owned())
}

fn message_id_domain(config: &Config, hello_name: &str) -> String {
    let configured = config.delivery.message_id_domain.clone();
    configured.unwrap_or_else(|| hello_name.to_owned())
}

/// Says at every start what is set up in a way that lets others read along.
pub(super) async fn warn(config: &Config, store: &SqlStore) {
    let server = &config.server;
    if server.tls.is_none() && !server.listen.ip().is_loopback() {
        tracing::warn!(address = %server.listen, "gRPC is served without TLS: API keys and codes cross the network in the clear");
    }
    if config.users.repositories.is_empty() {
        tracing::warn!("no [[repository]] is configured: no user is known");
    }
    let accounts = Accounts::list(store).await.unwrap_or_default();
    if !accounts.iter().any(|account| account.settings.enabled) {
        tracing::warn!("no mail account is set up: no mail goes out; see `mailfactor account add --help`");
    }
    for account in accounts.iter().filter(|account| account.settings.enabled) {
        let login = account.settings.login.as_ref();
        let default = login.is_some_and(|login| login.secret == Secret::Default);
        if default && config.default_credentials.is_none() {
            tracing::warn!(account.name = %account.settings.name, "the account cannot log in: it uses default credentials, and none are configured; set `[default_credentials]`");
        }
        for risk in account.settings.risks() {
            tracing::warn!(account.name = %account.settings.name, risk = risk.text(), "the account is risky");
        }
    }
    for inbox in Inboxes::list_inboxes(store).await.unwrap_or_default() {
        for risk in inbox.settings.risks() {
            tracing::warn!(inbox.name = %inbox.settings.name, risk = risk.text(), "the inbox is risky");
        }
    }
}
