//! `serve`: runs the service until SIGTERM or Ctrl-C. A second signal stops everything where it is.

use super::{Here, Outcome};
use crate::{
    app::{self, Machine},
    lifecycle::{Shutdown, terminated},
};

pub(super) async fn run(here: &Here, machine: Machine) -> Outcome {
    let config = here.load()?;
    here.log(&config, None)?;
    let app = app::build(config, machine).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        grpc = %app.grpc,
        metrics = app.metrics.map(tracing::field::display),
        "serving"
    );
    run_until_signal(app).await
}

/// Runs a service; the first signal ends it in order, the second at once.
pub(super) async fn run_until_signal(app: app::App) -> Outcome {
    let shutdown = Shutdown::new();
    let signals = async {
        if terminated().await.is_err() {
            return std::future::pending().await;
        }
        shutdown.soft().cancel();
        let _ = terminated().await;
        shutdown.hard().cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = app.run(shutdown.clone()) => Ok(ended?),
        () = signals => Ok(()),
    }
}
