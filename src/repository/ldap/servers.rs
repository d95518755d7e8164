//! The servers of one directory: warm connections to each, and which of them to ask.
//!
//! A server that gave no answer is in doubt: the others are asked first, until it answers again. What one look-up may take
//! is shared among the servers that are left, so that a silent one leaves time for the next.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics::Counter;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use zeroize::Zeroizing;

use super::{
    connection::{Connection, Findings, LdapError},
    dial::{LdapServer, Trust},
    message::Search,
};

/// How long a connection may lie unused: what lies between may forget it without telling.
const MOST_IDLE: Duration = Duration::from_mins(1);

/// How long a connection is used: a server that was taken out behind its name is left within this time.
const MOST_AGE: Duration = Duration::from_mins(10);

/// The service's own name in the directory, and its password.
#[derive(Clone)]
pub struct Login {
    /// The name; empty: nobody's, an anonymous bind.
    pub name: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(..)")
    }
}

/// What is asked of a server: one round trip.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    Search(Search<'a>),
    /// Whether this is the password of that name.
    Bind(&'a str, &'a str),
}

/// The answer.
pub(super) enum Told {
    Found(Findings),
    /// The result code.
    Bound(u32),
}

/// The servers, in order of preference.
pub(super) struct Servers {
    repository: String,
    list: Vec<Server>,
    trust: Trust,
    login: Login,
    trips: Trips,
}

struct Server {
    place: LdapServer,
    /// Bound as the service itself.
    own: Lines,
    /// Bound as whoever's password was checked last: never searched on.
    others: Lines,
    doubted: AtomicBool,
}

/// Connections of one kind to one server.
struct Lines {
    idle: Mutex<Vec<Idle>>,
    places: Semaphore,
}

struct Idle {
    connection: Connection,
    opened: Instant,
    since: Instant,
}

impl Servers {
    pub(super) fn new(
        repository: &str,
        places: Vec<LdapServer>,
        trust: Trust,
        login: Login,
        connections: usize,
    ) -> Self {
        let server = |place| Server {
            place,
            own: Lines::new(connections),
            others: Lines::new(connections),
            doubted: AtomicBool::new(false),
        };
        Self {
            repository: repository.to_owned(),
            list: places.into_iter().map(server).collect(),
            trust,
            login,
            trips: Trips::new(repository),
        }
    }

    /// Asks the servers in turn until one answers.
    pub(super) async fn ask(&self, ask: Ask<'_>, until: Instant) -> Result<Told, LdapError> {
        let doubted = |server: &&Server| server.doubted.load(Ordering::Relaxed);
        let trusted = self.list.iter().filter(|server| !doubted(server));
        let order: Vec<&Server> = trusted.chain(self.list.iter().filter(doubted)).collect();
        let mut last = LdapError::Timeout;
        for (asked, server) in order.iter().enumerate() {
            let left = until.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(order.len() - asked).unwrap_or(1);
            match self.ask_one(server, ask, Instant::now() + share).await {
                Ok(told) => return Ok(told),
                Err(referral @ LdapError::Referral(_)) => return Err(referral),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks every server, and says whether one answered. Those that did are trusted again.
    pub(super) async fn probe(&self, ask: Ask<'_>, patience: Duration) -> Result<(), LdapError> {
        let mut outcome = Err(LdapError::Timeout);
        for server in &self.list {
            match self.ask_one(server, ask, Instant::now() + patience).await {
                Ok(_) | Err(LdapError::Referral(_)) => outcome = Ok(()),
                Err(error) if outcome.is_err() => outcome = Err(error),
                Err(_) => {}
            }
            self.tell(server);
        }
        outcome
    }

    async fn ask_one(&self, server: &Server, ask: Ask<'_>, until: Instant) -> Result<Told, LdapError> {
        let asked = timeout_at(until, self.on_a_line(server, ask)).await;
        let told = asked.unwrap_or(Err(LdapError::Timeout));
        let failed = matches!(&told, Err(error) if !matches!(error, LdapError::Referral(_)));
        if server.doubted.swap(failed, Ordering::Relaxed) != failed {
            if let Err(error) = &told {
                tracing::warn!(
                    repository = %self.repository,
                    server = %server.place,
                    error = error as &dyn std::error::Error,
                    "a server of the directory gave no answer: the others are asked first"
                );
            } else {
                tracing::info!(repository = %self.repository, server = %server.place, "the server answers again");
            }
            self.tell(server);
        }
        told
    }

    async fn on_a_line(&self, server: &Server, ask: Ask<'_>) -> Result<Told, LdapError> {
        let lines = match ask {
            Ask::Search(_) => &server.own,
            Ask::Bind(..) => &server.others,
        };
        let _place = lines.places.acquire().await.map_err(|_| LdapError::Closed)?;
        // One that lay idle may have been closed by the server at this very moment: that says nothing of the server.
        while let Some(idle) = lines.take() {
            match self.use_line(lines, idle, ask).await {
                Err(error) if error.is_broken_line() => {}
                told => return told,
            }
        }
        let opened = Instant::now();
        let mut connection = server.place.dial(&self.trust).await?;
        self.trips.connects.increment(1);
        if matches!(ask, Ask::Search(_)) && !self.login.name.is_empty() {
            self.trips.binds.increment(1);
            match connection.bind(&self.login.name, &self.login.password).await? {
                0 => {}
                code => return Err(LdapError::Bind(code)),
            }
        }
        let fresh = Idle {
            connection,
            opened,
            since: opened,
        };
        self.use_line(lines, fresh, ask).await
    }

    /// Asks on a connection, which is kept unless something is wrong with it, or the asking is given up.
    async fn use_line(&self, lines: &Lines, mut line: Idle, ask: Ask<'_>) -> Result<Told, LdapError> {
        let told = match ask {
            Ask::Search(search) => {
                self.trips.searches.increment(1);
                line.connection.search(&search).await.map(Told::Found)
            }
            Ask::Bind(name, password) => {
                self.trips.binds.increment(1);
                line.connection.bind(name, password).await.map(Told::Bound)
            }
        };
        // After a search that was refused the connection is as good as before.
        if matches!(told, Ok(_) | Err(LdapError::Refused(_) | LdapError::Referral(_))) {
            line.since = Instant::now();
            lines.put(line);
        }
        told
    }

    /// Asks a server that is none of these, once: one that a referral leads to.
    pub(super) async fn ask_elsewhere(
        &self,
        place: &LdapServer,
        search: &Search<'_>,
        until: Instant,
    ) -> Result<Findings, LdapError> {
        let asked = timeout_at(until, async {
            let mut connection = place.dial(&self.trust).await?;
            self.trips.connects.increment(1);
            if !self.login.name.is_empty() {
                self.trips.binds.increment(1);
                match connection.bind(&self.login.name, &self.login.password).await? {
                    0 => {}
                    code => return Err(LdapError::Bind(code)),
                }
            }
            self.trips.searches.increment(1);
            let found = connection.search(search).await;
            connection.leave();
            found
        });
        asked.await.unwrap_or(Err(LdapError::Timeout))
    }

    /// Tells the metrics how a server does.
    fn tell(&self, server: &Server) {
        let answers = !server.doubted.load(Ordering::Relaxed);
        metrics::gauge!(
            "mailfactor_repository_server_up",
            "repository" => self.repository.clone(),
            "server" => server.place.to_string()
        )
        .set(if answers { 1.0 } else { 0.0 });
    }
}

/// The counters of round trips, made once: each look-up counts.
struct Trips {
    connects: Counter,
    binds: Counter,
    searches: Counter,
}

impl Trips {
    fn new(repository: &str) -> Self {
        let counter = |kind: &'static str| {
            metrics::counter!(
                "mailfactor_repository_round_trips_total",
                "repository" => repository.to_owned(),
                "kind" => kind
            )
        };
        Self {
            connects: counter("connect"),
            binds: counter("bind"),
            searches: counter("search"),
        }
    }
}

impl Lines {
    fn new(connections: usize) -> Self {
        Self {
            idle: Mutex::new(Vec::new()),
            places: Semaphore::new(connections),
        }
    }

    /// The connection that was used last, if it seems fit.
    fn take(&self) -> Option<Idle> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut line) = idle.pop() {
            let now = Instant::now();
            if now < line.since + MOST_IDLE && now < line.opened + MOST_AGE && line.connection.is_quiet() {
                return Some(line);
            }
            line.connection.leave();
        }
        None
    }

    fn put(&self, line: Idle) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }
}
