//! What callers feel: starts, verifications, whole flows, each beside the echo at the same number of calls in flight.
//!
//! One round after the other, everything in each: what the machine does meanwhile hits the ceiling and the service alike.

use std::{
    iter::{repeat, repeat_n},
    time::Duration,
};

use mailfactor::pb::v1 as pb;
use tokio::time::Instant;

use super::{
    Outcome,
    arguments::{Arguments, Engine},
    client::Callers,
    drive::{Measured, drive, percentile},
    helper::{Helper, Role},
    machine,
    postgres::Postgres,
    report::{Report, micros},
    service::{self, Home, Office, Service},
    sink::Sink,
    taken::{
        AGAIN, COMMIT, ECHO_CPU, ECHO_MULTI, ECHO_P50, ECHO_SINGLE, FLOW_START, FLOW_VERIFY, FLOWS, MAILS,
        MIB, MIXED, Names, RESIDENT, START, Taken, VERIFY,
    },
    walks::{Prepared, flow, start, verdict, verify},
};

/// How many calls prepare what is to be measured, at a time.
const PREPARING: usize = 64;

/// One in so many codes is wrong where some are.
const WRONG: usize = 4;

/// Plenty of time: what ends the work is that there is no more of it.
const NO_HURRY: Duration = Duration::from_mins(10);

/// Measures every engine that was asked for.
pub(crate) async fn measure(arguments: &Arguments, report: &mut Report) -> Outcome<()> {
    for engine in arguments.engines() {
        let mut taken = Taken::default();
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                if let Some(database) = Postgres::start(&arguments.directory).await? {
                    Some(database)
                } else {
                    report.skip("calls on PostgreSQL", "PostgreSQL is not installed");
                    continue;
                }
            }
        };
        let mut scene = Scene::set(arguments, engine, database).await?;
        for _ in 0..arguments.repetitions() {
            for in_flight in arguments.in_flight() {
                scene.round(in_flight, &mut taken).await?;
            }
        }
        scene.service.stop().await?;
        taken.report(engine, report);
    }
    Ok(())
}

/// The service with all that it needs, and the ceilings beside it.
struct Scene {
    service: Service,
    office: Office,
    sink: Sink,
    key: String,
    echoes: [(&'static str, Helper); 2],
    users: usize,
    next_user: usize,
    window: Duration,
    /// Where a bare commit is tried: a directory or a URL.
    place: String,
    commits: usize,
    /// Verifications a second, as measured last.
    guess: f64,
    _home: Home,
    _database: Option<Postgres>,
}

impl Scene {
    async fn set(arguments: &Arguments, engine: Engine, database: Option<Postgres>) -> Outcome<Self> {
        let users = if arguments.quick { 5_000 } else { 100_000 };
        let url = database.as_ref().map(Postgres::url);
        let home = Home::new(&arguments.binary, &arguments.directory, url.as_deref(), users)?;
        let (admin, key) = (home.caller("ops", "admin")?, home.caller("idp", "authenticator")?);
        let sink = Sink::start().await?;
        let service = home.serve().await?;
        let office = service.office(&admin).await?;
        office.mail_through(sink.address).await?;
        eprintln!("{}: the service is process {}", engine.name(), service.id());
        Ok(Self {
            service,
            office,
            sink,
            key,
            echoes: [
                (ECHO_SINGLE, Helper::start(Role::EchoSingle, machine::SERVER)?),
                (ECHO_MULTI, Helper::start(Role::EchoMulti, machine::SERVER)?),
            ],
            users,
            next_user: 0,
            window: arguments.window(),
            place: url.unwrap_or_else(|| arguments.directory.display().to_string()),
            commits: if arguments.quick { 50 } else { 1_000 },
            guess: 500.0,
            _home: home,
            _database: database,
        })
    }

    /// Everything once, at so many calls in flight.
    async fn round(&mut self, in_flight: usize, taken: &mut Taken) -> Outcome<()> {
        if in_flight == 1 {
            let given = [self.place.clone(), self.commits.to_string()];
            let told = Helper::ask(Role::Commit, machine::SERVER, &given)?;
            taken.add(
                COMMIT,
                in_flight,
                told.first().copied().ok_or("no commit was timed")?,
            );
        }
        for (name, echo) in &self.echoes {
            let before = echo.usage()?.cpu;
            let measured = self.echo(echo, in_flight).await?;
            taken.add(name, in_flight, measured.rate());
            if *name == ECHO_SINGLE {
                let cpu = echo.usage()?.cpu.saturating_sub(before);
                taken.add(ECHO_CPU, in_flight, micros(cpu) / measured.latencies.len() as f64);
                taken.add(ECHO_P50, in_flight, micros(percentile(&measured.latencies, 50)));
            }
        }
        let callers = Callers::connect(self.service.address, &self.key, in_flight).await?;
        let started = self.starts(&callers, in_flight, taken).await?;
        let prepared = self.enough(started).await?;
        let sent = self.verifications(&callers, in_flight, prepared, false, taken);
        let (used, left) = sent.await?;
        self.again(&callers, in_flight, used, taken).await?;
        let prepared = self.enough(left).await?;
        let mixed = self.verifications(&callers, in_flight, prepared, true, taken);
        let (mixed, _) = mixed.await?;
        self.forgive(mixed).await?;
        self.flows(&callers, in_flight, taken).await
    }

    async fn echo(&self, echo: &Helper, in_flight: usize) -> Outcome<Measured<()>> {
        let callers = Callers::connect(echo.address(0)?, &self.key, in_flight).await?;
        let call = move |lane: usize, ()| {
            let mut connection = callers.of(lane);
            let request = callers.signed(pb::VerifyCodeRequest {
                challenge_id: "AAECAwQFBgcICQoLDA0ODw".to_owned(),
                code: "123456".to_owned(),
                ..pb::VerifyCodeRequest::default()
            });
            async move {
                connection.verify_code(request).await?;
                Ok(())
            }
        };
        let (measured, _) = drive(repeat(()), in_flight, self.window, call).await?;
        Ok(measured)
    }

    /// Starts, while the mails go out. Gives what was started, with its codes, once all mails are out.
    async fn starts(
        &mut self,
        callers: &Callers,
        in_flight: usize,
        taken: &mut Taken,
    ) -> Outcome<Vec<Prepared>> {
        let (before, mails) = (self.service.usage()?, self.sink.codes.mails());
        let began = Instant::now();
        let measured = self.start(callers, in_flight, self.users, self.window).await?;
        let mails = self.sink.codes.mails() - mails;
        taken.add(MAILS, in_flight, mails as f64 / began.elapsed().as_secs_f64());
        let prepared = self.collect(measured.answers).await?;
        // The mails of these starts are part of what they cost.
        let cpu = self.service.usage()?.cpu.saturating_sub(before.cpu);
        taken.times(&START, in_flight, &measured.latencies, measured.took, cpu);
        taken.add(RESIDENT, in_flight, self.service.usage()?.resident as f64 / MIB);
        Ok(prepared)
    }

    /// Adds to what is prepared until it lasts for a window.
    async fn enough(&mut self, mut prepared: Vec<Prepared>) -> Outcome<Vec<Prepared>> {
        let wanted = (self.guess * self.window.as_secs_f64() * 1.5) as usize;
        let callers = Callers::connect(self.service.address, &self.key, PREPARING).await?;
        while prepared.len() < wanted {
            let more = (wanted - prepared.len()).min(self.users);
            let started = self.start(&callers, PREPARING, more, NO_HURRY).await?;
            prepared.extend(self.collect(started.answers).await?);
        }
        Ok(prepared)
    }

    async fn start(
        &mut self,
        callers: &Callers,
        in_flight: usize,
        most: usize,
        window: Duration,
    ) -> Outcome<Measured<(usize, String)>> {
        let (first, users) = (self.next_user, self.users);
        let numbers = (first..first + most).map(move |number| number % users);
        let callers = callers.clone();
        let call = move |lane, user| {
            let callers = callers.clone();
            async move { Ok((user, start(&callers, lane, user).await?)) }
        };
        let (measured, _) = drive(numbers, in_flight, window, call).await?;
        self.next_user = (first + measured.latencies.len()) % users;
        Ok(measured)
    }

    /// The codes of what was started, once every mail is out and accounted for.
    async fn collect(&self, started: Vec<(usize, String)>) -> Outcome<Vec<Prepared>> {
        let mut prepared = Vec::with_capacity(started.len());
        for (user, challenge) in started {
            let code = self.sink.codes.of(&service::address(user)).await?;
            prepared.push(Prepared { challenge, code });
        }
        self.office.all_mail_is_out().await?;
        Ok(prepared)
    }

    /// Right codes, or a mix of right and wrong ones. Gives back what was used, and what was not.
    async fn verifications(
        &mut self,
        callers: &Callers,
        in_flight: usize,
        prepared: Vec<Prepared>,
        mixed: bool,
        taken: &mut Taken,
    ) -> Outcome<(Vec<Prepared>, Vec<Prepared>)> {
        let items = prepared.into_iter().enumerate().map(move |(number, prepared)| {
            let wrong = mixed && number % WRONG == 0;
            let expected = if wrong {
                pb::VerifyResult::WrongCode
            } else {
                pb::VerifyResult::Verified
            };
            (prepared, expected)
        });
        let names = if mixed { &MIXED } else { &VERIFY };
        let (measured, left) = self.submit(callers, in_flight, items, names, taken).await?;
        self.guess = measured.rate().max(100.0);
        Ok((measured.answers, left.map(|(prepared, _)| prepared).collect()))
    }

    /// Codes that were used, again: refused without asking the store.
    async fn again(
        &mut self,
        callers: &Callers,
        in_flight: usize,
        used: Vec<Prepared>,
        taken: &mut Taken,
    ) -> Outcome<()> {
        let rounds = repeat_n(used, usize::MAX).flatten();
        let items = rounds.map(|prepared| (prepared, pb::VerifyResult::AlreadyUsed));
        let _ = self.submit(callers, in_flight, items, &AGAIN, taken).await?;
        Ok(())
    }

    /// Gives the right codes where wrong ones were given: in the next round nobody has wrong codes to begin with.
    async fn forgive(&self, mixed: Vec<Prepared>) -> Outcome<()> {
        let callers = Callers::connect(self.service.address, &self.key, PREPARING).await?;
        let call = move |lane, prepared: Prepared| {
            let callers = callers.clone();
            async move { verdict(&callers, lane, prepared.challenge, prepared.code).await }
        };
        drive(mixed.into_iter(), PREPARING, NO_HURRY, call).await?;
        Ok(())
    }

    async fn submit<I>(
        &self,
        callers: &Callers,
        in_flight: usize,
        items: I,
        names: &Names,
        taken: &mut Taken,
    ) -> Outcome<(Measured<Prepared>, I)>
    where
        I: Iterator<Item = (Prepared, pb::VerifyResult)> + Send + 'static,
    {
        let before = self.service.usage()?.cpu;
        let callers = callers.clone();
        let call = move |lane, (prepared, expected)| {
            let callers = callers.clone();
            async move { verify(&callers, lane, prepared, expected).await }
        };
        let (measured, left) = drive(items, in_flight, self.window, call).await?;
        let cpu = self.service.usage()?.cpu.saturating_sub(before);
        taken.times(names, in_flight, &measured.latencies, measured.took, cpu);
        Ok((measured, left))
    }

    /// Start, the code from the mail, verify: what a user goes through.
    async fn flows(&mut self, callers: &Callers, in_flight: usize, taken: &mut Taken) -> Outcome<()> {
        let (first, users) = (self.next_user, self.users);
        let numbers = (first..first + users).map(move |number| number % users);
        let (callers, codes) = (callers.clone(), self.sink.codes.clone());
        let call = move |lane, user| {
            let (callers, codes) = (callers.clone(), codes.clone());
            async move { flow(&callers, &codes, lane, user).await }
        };
        let (measured, _) = drive(numbers, in_flight, self.window, call).await?;
        self.next_user = (first + measured.latencies.len()) % users;
        taken.add(FLOWS, in_flight, measured.rate());
        let (mut starts, mut verifications): (Vec<_>, Vec<_>) = measured.answers.into_iter().unzip();
        for (names, times) in [(&FLOW_START, &mut starts), (&FLOW_VERIFY, &mut verifications)] {
            times.sort_unstable();
            taken.add(names.p50, in_flight, micros(percentile(times, 50)));
            taken.add(names.p99, in_flight, micros(percentile(times, 99)));
        }
        self.office.all_mail_is_out().await
    }
}
