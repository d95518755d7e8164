//! `health`: asks a server whether it is well. Exit code 0 if so, 1 if not or if it does not answer.

use std::time::Duration;

use clap::Args;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{Failure, Outcome, client, out};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mailfactor health\n  mailfactor health --server https://factor.example.com:50051 --ca ca.pem\n  \
                        mailfactor health --service mail         whether mail goes out\n\n\
                        Needs no API key. Exit code 0: serving; 1: not serving, or no answer within --timeout."
)]
pub(super) struct Health {
    /// The server.
    #[arg(long, env = "MAILFACTOR_SERVER", default_value = client::USUAL, value_name = "URL")]
    server: String,
    /// The service asked for; empty: the whole server's readiness.
    #[arg(long, default_value = "")]
    service: String,
    #[command(flatten)]
    tls: client::TlsArguments,
    /// How many seconds the answer may take.
    #[arg(long, default_value_t = 3, value_name = "SECONDS")]
    timeout: u64,
}

impl Health {
    pub(super) async fn run(self) -> Outcome {
        let timeout = Duration::from_secs(self.timeout);
        let channel = client::connect(&self.server, &self.tls, timeout, Some(timeout)).await?;
        let request = HealthCheckRequest {
            service: self.service,
        };
        let answer = HealthClient::new(channel).check(request).await?.into_inner();
        let status = answer.status();
        out::say(status.as_str_name());
        if status == ServingStatus::Serving {
            Ok(())
        } else {
            Err(Failure::Told)
        }
    }
}
