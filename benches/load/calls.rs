//! What callers feel: starts, verifications, whole flows, each beside the echo at the same number of calls in flight.
//!
//! One round after the other, everything in each: what the machine does meanwhile hits the ceiling and the service alike.

use std::{collections::BTreeMap, iter::repeat, path::PathBuf, time::Duration};

use mailfactor::pb::v1 as pb;
use tokio::time::Instant;

use super::{
    Outcome,
    arguments::{Arguments, Engine},
    client::Callers,
    drive::{Measured, drive, percentile},
    helper::{Helper, Role},
    machine,
    report::{Figure, Report, median, micros},
    service::{self, Home, Office, Service},
    sink::{Codes, Sink},
};

/// How many calls prepare what is to be measured, at a time.
const PREPARING: usize = 64;

/// One in so many codes is wrong where some are.
const WRONG: usize = 4;

/// Plenty of time: what ends the work is that there is no more of it.
const NO_HURRY: Duration = Duration::from_secs(600);

/// Measures every engine that was asked for.
pub(crate) async fn measure(arguments: &Arguments, report: &mut Report) -> Outcome<()> {
    for engine in arguments.engines() {
        let mut taken = Taken::default();
        let mut scene = Scene::set(arguments, engine).await?;
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

/// A challenge whose code is known.
struct Prepared {
    challenge: String,
    code: String,
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
    directory: PathBuf,
    commits: usize,
    /// Verifications a second, as measured last.
    guess: f64,
    _home: Home,
}

impl Scene {
    async fn set(arguments: &Arguments, engine: Engine) -> Outcome<Self> {
        let users = if arguments.quick { 5_000 } else { 100_000 };
        let home = Home::new(&arguments.binary, &arguments.directory, None, users)?;
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
            directory: arguments.directory.clone(),
            commits: if arguments.quick { 50 } else { 1_000 },
            guess: 500.0,
            _home: home,
        })
    }

    /// Everything once, at so many calls in flight.
    async fn round(&mut self, in_flight: usize, taken: &mut Taken) -> Outcome<()> {
        if in_flight == 1 {
            let given = [self.directory.display().to_string(), self.commits.to_string()];
            let told = Helper::ask(Role::Commit, machine::SERVER, &given)?;
            taken.add(
                COMMIT,
                in_flight,
                told.first().copied().ok_or("no commit was timed")?,
            );
        }
        for (name, echo) in &self.echoes {
            let rate = self.echo(echo, in_flight).await?;
            taken.add(name, in_flight, rate);
        }
        let callers = Callers::connect(self.service.address, &self.key, in_flight).await?;
        let started = self.starts(&callers, in_flight, taken).await?;
        let prepared = self.enough(started).await?;
        let left = self
            .verifications(&callers, in_flight, prepared, false, taken)
            .await?;
        let prepared = self.enough(left).await?;
        self.verifications(&callers, in_flight, prepared, true, taken)
            .await?;
        self.flows(&callers, in_flight, taken).await
    }

    async fn echo(&self, echo: &Helper, in_flight: usize) -> Outcome<f64> {
        let callers = Callers::connect(echo.address(0)?, &self.key, in_flight).await?;
        let call = move |lane: usize, ()| {
            let mut connection = callers.of(lane);
            let request = callers.signed(pb::VerifyCodeRequest {
                challenge_id: "AAECAwQFBgcICQoLDA0ODw".to_owned(),
                code: "123456".to_owned(),
            });
            async move {
                connection.verify_code(request).await?;
                Ok(())
            }
        };
        let (measured, _) = drive(repeat(()), in_flight, self.window, call).await?;
        Ok(measured.rate())
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

    /// Right codes, or a mix of right and wrong ones. Gives back what was not used.
    async fn verifications(
        &mut self,
        callers: &Callers,
        in_flight: usize,
        prepared: Vec<Prepared>,
        mixed: bool,
        taken: &mut Taken,
    ) -> Outcome<Vec<Prepared>> {
        let before = self.service.usage()?;
        let callers = callers.clone();
        let items = prepared.into_iter().enumerate();
        let call = move |lane, (number, prepared): (usize, Prepared)| {
            let callers = callers.clone();
            let right = !mixed || number % WRONG != 0;
            async move { verify(&callers, lane, prepared, right).await }
        };
        let (measured, left) = drive(items, in_flight, self.window, call).await?;
        let cpu = self.service.usage()?.cpu.saturating_sub(before.cpu);
        let names = if mixed { &MIXED } else { &VERIFY };
        taken.times(names, in_flight, &measured.latencies, measured.took, cpu);
        self.guess = measured.rate().max(100.0);
        Ok(left.map(|(_, prepared)| prepared).collect())
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

async fn start(callers: &Callers, lane: usize, user: usize) -> Outcome<String> {
    let request = callers.signed(pb::StartChallengeRequest {
        user: service::user(user),
        ..pb::StartChallengeRequest::default()
    });
    let answer = callers.of(lane).start_challenge(request).await?.into_inner();
    Ok(answer
        .challenge
        .ok_or("a start without a challenge")?
        .challenge_id)
}

/// Submits the code, or one that differs in its last digit, and insists on the verdict.
async fn verify(callers: &Callers, lane: usize, prepared: Prepared, right: bool) -> Outcome<()> {
    let Prepared { challenge, mut code } = prepared;
    let expected = if right {
        pb::VerifyResult::Verified
    } else {
        let last = code.pop().and_then(|digit| digit.to_digit(10)).unwrap_or(0);
        code.push(char::from_digit((last + 1) % 10, 10).unwrap_or('0'));
        pb::VerifyResult::WrongCode
    };
    let request = callers.signed(pb::VerifyCodeRequest {
        challenge_id: challenge,
        code,
    });
    let verdict = callers.of(lane).verify_code(request).await?.into_inner().result();
    if verdict == expected {
        Ok(())
    } else {
        Err(format!("the verdict is {verdict:?}, not {expected:?}").into())
    }
}

/// Gives how long the start and the verification took.
async fn flow(callers: &Callers, codes: &Codes, lane: usize, user: usize) -> Outcome<(Duration, Duration)> {
    let began = Instant::now();
    let challenge = start(callers, lane, user).await?;
    let started = began.elapsed();
    let code = codes.of(&service::address(user)).await?;
    let began = Instant::now();
    verify(callers, lane, Prepared { challenge, code }, true).await?;
    Ok((started, began.elapsed()))
}

const MIB: f64 = 1024.0 * 1024.0;
const ECHO_SINGLE: &str = "echo, one thread";
const ECHO_MULTI: &str = "echo, multi-threaded";
const COMMIT: &str = "bare commit p50";
const MAILS: &str = "mails meanwhile";
const RESIDENT: &str = "resident after starts";
const FLOWS: &str = "flows";

/// The names of the figures of one kind of call.
struct Names {
    rate: &'static str,
    p50: &'static str,
    p99: &'static str,
    cpu: &'static str,
}

const START: Names = Names {
    rate: "start",
    p50: "start p50",
    p99: "start p99",
    cpu: "start and mail, processor",
};
const VERIFY: Names = Names {
    rate: "verify",
    p50: "verify p50",
    p99: "verify p99",
    cpu: "verify, processor",
};
const MIXED: Names = Names {
    rate: "verify, 1 in 4 wrong",
    p50: "verify, 1 in 4 wrong, p50",
    p99: "verify, 1 in 4 wrong, p99",
    cpu: "verify, 1 in 4 wrong, processor",
};
const FLOW_START: Names = Names {
    rate: FLOWS,
    p50: "flow: start p50",
    p99: "flow: start p99",
    cpu: "",
};
const FLOW_VERIFY: Names = Names {
    rate: FLOWS,
    p50: "flow: verify p50",
    p99: "flow: verify p99",
    cpu: "",
};

/// Every value of every round.
#[derive(Default)]
struct Taken(BTreeMap<(usize, &'static str), Vec<f64>>);

impl Taken {
    fn add(&mut self, name: &'static str, in_flight: usize, value: f64) {
        self.0.entry((in_flight, name)).or_default().push(value);
    }

    fn times(
        &mut self,
        names: &Names,
        in_flight: usize,
        latencies: &[Duration],
        took: Duration,
        cpu: Duration,
    ) {
        let calls = latencies.len() as f64;
        self.add(names.rate, in_flight, calls / took.as_secs_f64());
        self.add(names.p50, in_flight, micros(percentile(latencies, 50)));
        self.add(names.p99, in_flight, micros(percentile(latencies, 99)));
        self.add(names.cpu, in_flight, micros(cpu) / calls.max(1.0));
    }

    fn median(&self, name: &'static str, in_flight: usize) -> Option<f64> {
        self.0
            .get(&(in_flight, name))
            .map(|values| median(values.clone()))
    }

    fn report(&self, engine: Engine, report: &mut Report) {
        let mut counts: Vec<usize> = self.0.keys().map(|(in_flight, _)| *in_flight).collect();
        counts.dedup();
        for in_flight in counts {
            self.report_at(engine, in_flight, report);
        }
    }

    fn report_at(&self, engine: Engine, in_flight: usize, report: &mut Report) {
        let (verify_bar, start_bar) = match engine {
            Engine::Sqlite => (0.40, 0.20),
            Engine::Postgres => (0.25, 0.12),
        };
        let mut say = |name: &'static str, unit: &'static str, shape: &dyn Fn(Figure) -> Figure| {
            if let Some(value) = self.median(name, in_flight) {
                report.add(shape(Figure::new(name, value, unit).on(engine).at(in_flight)));
            }
        };
        let echoes = [ECHO_SINGLE, ECHO_MULTI];
        for echo in echoes {
            say(echo, "/s", &|figure| figure);
        }
        let commit = self.median(COMMIT, in_flight);
        say(COMMIT, "us", &|figure| figure);
        // The faster of the two is what the machine could do.
        let ceiling = echoes
            .into_iter()
            .filter_map(|echo| self.median(echo, in_flight))
            .fold(0.0, f64::max);
        let bars = [
            (VERIFY, Some(verify_bar)),
            (MIXED, None),
            (START, Some(start_bar)),
        ];
        for (names, bar) in bars {
            say(names.rate, "/s", &|figure| {
                let figure = figure.beside("echo", ceiling);
                match bar.filter(|_| in_flight == 128) {
                    Some(bar) => figure.at_least(bar),
                    None => figure,
                }
            });
            say(
                names.p50,
                "us",
                &|figure| match commit.filter(|_| names.rate == VERIFY.rate) {
                    Some(commit) => figure.beside("bare commit", commit).within(1.3),
                    None => figure,
                },
            );
            for name in [names.p99, names.cpu] {
                say(name, "us", &|figure| figure);
            }
        }
        say(MAILS, "/s", &|figure| figure);
        say(RESIDENT, "MiB", &|figure| figure);
        say(FLOWS, "/s", &|figure| figure);
        for names in [FLOW_START, FLOW_VERIFY] {
            for name in [names.p50, names.p99] {
                say(name, "us", &|figure| figure);
            }
        }
    }
}
