//! `demo`: the whole thing at work on a bare machine, for real: the service, its gRPC API, a mail catcher that speaks
//! SMTP, a users file. Everything is in this process and in one temporary directory, and gone afterwards.

use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc;

use super::{
    Failure, Outcome,
    client::{Client, Credentials, TlsArguments, connect},
    out,
};
use crate::{
    app::{
        self, App, Machine,
        local::{Local, NewCaller},
    },
    config::{Config, Log, LogFormat},
    domain::caller::Role,
    lifecycle::{Shutdown, terminated},
    telemetry,
};

mod catcher;
mod keep;
mod reading;
mod sandbox;
mod story;
mod telling;

use catcher::{Catcher, Caught};
use sandbox::Sandbox;

/// How long a call may take here.
const CALL: Duration = Duration::from_secs(15);

/// How long the end may take here.
const END: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mailfactor demo            tells the story once, in a few seconds\n  \
                        mailfactor demo --keep     then goes on serving and prints commands to try"
)]
pub(super) struct Demo {
    /// Goes on serving after the story, until Ctrl-C, with reflection on, and prints commands to try.
    #[arg(long)]
    keep: bool,
    /// Shows the service's log on standard error.
    #[arg(long)]
    verbose: bool,
}

/// The API keys of the demo's callers.
struct Keys {
    admin: String,
    server: String,
    laptop: String,
}

/// The service under demonstration, as the story sees it.
struct Stage {
    admin: Client,
    server: Client,
    laptop: Client,
    mails: mpsc::Receiver<Caught>,
}

impl Demo {
    pub(super) async fn run(self, machine: Machine) -> Outcome {
        if self.verbose {
            let settings = Log {
                format: LogFormat::Human,
                filter: "mailfactor=debug,warn".to_owned(),
            };
            telemetry::log(
                &settings,
                std::env::var(telemetry::FILTER_VARIABLE).ok().as_deref(),
            )?;
        }
        let sandbox = Sandbox::new(&*machine.entropy)
            .map_err(|error| Failure::say(format!("no temporary directory can be made: {error}")))?;
        let file = sandbox
            .configure(self.keep)
            .map_err(|error| Failure::of(&error))?;
        let config = Config::load(Some(&file), []).map_err(Failure::Configuration)?;
        let keys = add_callers(&config, &machine).await?;
        let (catcher, mails) = Catcher::bind().await.map_err(|error| Failure::of(&error))?;
        let mail_server = catcher.address;
        let app = app::build(config, machine).await?;
        let (grpc, metrics) = (app.grpc, app.metrics);
        out::say(out::styled(out::Style::Heading, "mailfactor demo"));
        out::say(format_args!(
            "Everything below happens for real, in this process and in {}, which is removed afterwards.",
            sandbox.root().display()
        ));
        out::say(format_args!(
            "gRPC is on {grpc}, metrics on {}, and on {mail_server} is a mail server that catches every mail.",
            metrics.map_or_else(|| "no port".to_owned(), |address| address.to_string()),
        ));
        let shutdown = Shutdown::new();
        let catching = Shutdown::new();
        catching.spawn(catcher.run(catching.soft().clone()));
        let act = async {
            let mut stage = Stage::set(&format!("http://{grpc}"), &keys, mails).await?;
            story::tell(&mut stage, mail_server).await?;
            if self.keep {
                keep::serve(&sandbox, &mut stage.mails, grpc, metrics, &keys).await;
            }
            Ok(())
        };
        let outcome = Box::pin(perform(app, &shutdown, act)).await;
        catching.end(END).await;
        outcome
    }
}

/// Runs the service for as long as the act takes.
async fn perform(app: App, shutdown: &Shutdown, act: impl Future<Output = Outcome>) -> Outcome {
    let acted = async {
        let outcome = tokio::select! {
            outcome = act => outcome,
            _ = terminated() => Ok(()),
            () = shutdown.soft().cancelled() => Err(Failure::say("the service stopped; see --verbose")),
        };
        shutdown.soft().cancel();
        outcome
    };
    let (served, outcome) = tokio::join!(app.run(shutdown.clone()), acted);
    outcome.and(served.map_err(Failure::from))
}

/// What an administrator does first, with `mailfactor caller add`.
async fn add_callers(config: &Config, machine: &Machine) -> Result<Keys, Failure> {
    let local = Local::open(config, machine).await?;
    let mut keys = Vec::new();
    for (name, role) in [
        ("demo-admin", Role::Admin),
        ("demo-server", Role::Authenticator),
        ("demo-laptop", Role::Endpoint),
    ] {
        let new = NewCaller {
            name: name.to_owned(),
            role,
            see_users: None,
            certificate: None,
        };
        let (_, key) = local.add_caller(new).await?;
        keys.extend(key.map(|key| key.reveal().to_string()));
    }
    local.close().await;
    match <[String; 3]>::try_from(keys) {
        Ok([admin, server, laptop]) => Ok(Keys {
            admin,
            server,
            laptop,
        }),
        Err(_) => Err(Failure::say("a caller was added without a key")),
    }
}

impl Stage {
    async fn set(server: &str, keys: &Keys, mails: mpsc::Receiver<Caught>) -> Result<Self, Failure> {
        let channel = connect(server, &TlsArguments::default(), CALL, Some(CALL)).await?;
        let client = |key: &str| Credentials::key(key).map(|credentials| Client::new(&channel, &credentials));
        Ok(Self {
            admin: client(&keys.admin)?,
            server: client(&keys.server)?,
            laptop: client(&keys.laptop)?,
            mails,
        })
    }
}
