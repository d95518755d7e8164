//! PostgreSQL: the suite of contracts, and what only a server can do. It is a real one, started privately.

use self::servers::postgres::{PASSWORD, Postgres, ROLE};
use super::*;
use crate::{
    store::{
        Outbox as _, Probe as _, Started,
        contract::{self, ManualClock, Place},
    },
};

/// The starter of real servers that the black-box tests use.
mod servers {
    #![expect(unreachable_pub, reason = "as in any other module that others use")]
    #[path = "../../../../../tests/it/harness/installed.rs"]
    pub mod installed;
    #[path = "../../../../../tests/it/harness/postgres.rs"]
    pub mod postgres;
}

/// A database of its own, on a server that serves all tests.
struct Database {
    server: &'static Postgres,
    name: String,
}

impl Database {
    /// An empty one; `None` where PostgreSQL is not installed.
    fn new() -> Option<Self> {
        let server = Postgres::shared()?;
        let name = server.database();
        Some(Self { server, name })
    }

    fn settings(&self) -> ServerSettings {
        // On a busy machine the suite must not fail for lack of time.
        let patience = Duration::from_mins(1);
        ServerSettings {
            host: self.server.address.ip().to_string(),
            port: self.server.address.port(),
            user: ROLE.to_owned(),
            password: Some(PASSWORD.to_owned().into()),
            database: self.name.clone(),
            encrypted: false,
            authorities: None,
            connections: 8,
            connect_timeout: patience,
            acquire_timeout: patience,
            statement_timeout: patience,
            ping_timeout: patience,
            deadline: patience,
        }
    }

    /// Leases run on the server's clock.
    async fn open_in_real_time(&self) -> SqlStore {
        let store = SqlStore::connect_to_server(&self.settings()).await.unwrap();
        store.migrate().await.unwrap();
        store
    }
}

impl Place for Database {
    type Store = SqlStore;

    async fn open(&self, clock: Arc<dyn Clock>) -> SqlStore {
        let store = SqlStore::connect_with_clock(&self.settings(), StoreClock::Machine(clock)).await;
        let store = store.unwrap();
        store.migrate().await.unwrap();
        store
    }
}

mod contracts {
    contract::keeps_every_contract!(super::super::Database::new());
    use crate::store::contract;
}
