//! `grpc.health.v1`: our own service, because `Watch` of an unknown name must stay open with `SERVICE_UNKNOWN`.
//!
//! | name | `SERVING` while |
//! |---|---|
//! | the empty name, `readiness`, our services | the store can be read and written, and the process takes new calls |
//! | `mail` | so does the mail account; it does not take the service out of rotation |
//! | `repository/NAME` | so does that repository of users; it does not take the service out either |
//! | `liveness` | the process answers at all; a shutdown does not change it, so that nobody kills what is draining |

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::stream;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, server::NamedService};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

use super::{BoxStream, convert::HEALTH, status};
use crate::{factor::Desk, pb::v1 as pb, policy::Vitals};

/// How often the pulse is felt.
const PERIOD: Duration = Duration::from_secs(1);

/// How long the store has to answer: no answer is a bad one.
const DEADLINE: Duration = Duration::from_millis(2_400);

/// How the service felt last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pulse {
    /// Whether the store can be read and written.
    pub(super) store: bool,
    /// Whether mail can be handed over.
    pub(super) mail: bool,
    /// Which repositories answered when they were asked last.
    pub(super) repositories: Arc<BTreeMap<String, bool>>,
}

/// Feels the pulse.
pub(super) async fn look(vitals: &Vitals, desk: &Desk) -> Pulse {
    let (store, mail) = tokio::join!(
        timeout(DEADLINE, vitals.store_works()),
        timeout(DEADLINE, vitals.mail_works())
    );
    let repositories = desk.repositories().into_iter();
    Pulse {
        store: store.unwrap_or(false),
        mail: mail.unwrap_or(false),
        repositories: Arc::new(repositories.map(|view| (view.name, view.answering)).collect()),
    }
}

/// Feels the pulse each second until the process ends, and tells of changes.
pub(super) async fn follow(
    vitals: &Vitals,
    desk: &Desk,
    pulse: watch::Sender<Pulse>,
    soft: CancellationToken,
) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let endless = async {
        loop {
            ticks.tick().await;
            let now = look(vitals, desk).await;
            pulse.send_if_modified(|last| {
                let changed = *last != now;
                if changed {
                    tracing::warn!(store = now.store, mail = now.mail, repositories = ?now.repositories, "health changed");
                }
                *last = now;
                changed
            });
        }
    };
    // The services see the token themselves: nothing has to be sent for them to say NOT_SERVING.
    soft.run_until_cancelled(endless).await;
}

/// The service.
pub(super) fn service(pulse: watch::Receiver<Pulse>, soft: CancellationToken) -> HealthServer<impl Health> {
    HealthServer::new(Reporter { pulse, soft }).max_decoding_message_size(4 * 1024)
}

struct Reporter {
    pulse: watch::Receiver<Pulse>,
    soft: CancellationToken,
}

#[tonic::async_trait]
impl Health for Reporter {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let pulse = self.pulse.borrow().clone();
        match serving(&request.get_ref().service, &pulse, self.soft.is_cancelled()) {
            ServingStatus::ServiceUnknown => Err(status::refuse(
                Code::NotFound,
                "SERVICE_UNKNOWN",
                "no such service",
            )),
            known => Ok(Response::new(told(known))),
        }
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watching = Watching {
            service: request.into_inner().service,
            pulse: self.pulse.clone(),
            soft: self.soft.clone(),
            told: None,
        };
        Ok(Response::new(Box::pin(stream::unfold(Some(watching), next))))
    }
}

/// One open `Watch`.
struct Watching {
    service: String,
    pulse: watch::Receiver<Pulse>,
    soft: CancellationToken,
    told: Option<ServingStatus>,
}

/// The next change. When the process ends, the last word is the last status, then `UNAVAILABLE`.
async fn next(watching: Option<Watching>) -> Option<(Result<HealthCheckResponse, Status>, Option<Watching>)> {
    let mut watching = watching?;
    loop {
        let stopping = watching.soft.is_cancelled();
        let pulse = watching.pulse.borrow_and_update().clone();
        let now = serving(&watching.service, &pulse, stopping);
        if watching.told != Some(now) {
            watching.told = Some(now);
            return Some((Ok(told(now)), Some(watching)));
        }
        if stopping {
            return Some((Err(status::shutting_down()), None));
        }
        tokio::select! {
            () = watching.soft.cancelled() => {}
            changed = watching.pulse.changed() => {
                // The sender goes only when the process ends.
                if changed.is_err() {
                    watching.soft.cancelled().await;
                }
            }
        }
    }
}

fn serving(service: &str, pulse: &Pulse, stopping: bool) -> ServingStatus {
    let fit = match service {
        "liveness" => true,
        "mail" => pulse.mail && !stopping,
        "" | "readiness" => pulse.store && !stopping,
        name if OURS.contains(&name) => pulse.store && !stopping,
        name => match name
            .strip_prefix(HEALTH)
            .and_then(|name| pulse.repositories.get(name))
        {
            Some(answering) => *answering && !stopping,
            None => return ServingStatus::ServiceUnknown,
        },
    };
    if fit {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

/// The names of our services.
const OURS: [&str; 6] = [
    <pb::email_otp_authenticator_server::EmailOtpAuthenticatorServer<()> as NamedService>::NAME,
    <pb::mail_sender_policy_server::MailSenderPolicyServer<()> as NamedService>::NAME,
    <pb::mail_outbox_server::MailOutboxServer<()> as NamedService>::NAME,
    <pb::mail_audit_server::MailAuditServer<()> as NamedService>::NAME,
    <pb::mail_inbox_server::MailInboxServer<()> as NamedService>::NAME,
    <pb::user_repositories_server::UserRepositoriesServer<()> as NamedService>::NAME,
];

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    fn well() -> Pulse {
        Pulse {
            store: true,
            mail: true,
            repositories: Arc::new(BTreeMap::from([("staff".into(), true), ("corp".into(), false)])),
        }
    }

    #[test]
    fn each_name_stands_for_its_part() {
        use ServingStatus::{NotServing, ServiceUnknown, Serving};
        let no_mail = Pulse {
            mail: false,
            ..well()
        };
        let no_store = Pulse {
            store: false,
            ..well()
        };
        for (service, all_well, without_mail, without_store, stopping) in [
            ("", Serving, Serving, NotServing, NotServing),
            ("readiness", Serving, Serving, NotServing, NotServing),
            (
                "mailfactor.v1.MailOutbox",
                Serving,
                Serving,
                NotServing,
                NotServing,
            ),
            ("mail", Serving, NotServing, Serving, NotServing),
            ("repository/staff", Serving, Serving, Serving, NotServing),
            ("repository/corp", NotServing, NotServing, NotServing, NotServing),
            ("liveness", Serving, Serving, Serving, Serving),
            (
                "nonsense",
                ServiceUnknown,
                ServiceUnknown,
                ServiceUnknown,
                ServiceUnknown,
            ),
        ] {
            assert_eq!(serving(service, &well(), false), all_well, "{service}");
            assert_eq!(serving(service, &no_mail, false), without_mail, "{service}");
            assert_eq!(serving(service, &no_store, false), without_store, "{service}");
            assert_eq!(serving(service, &well(), true), stopping, "{service}");
        }
    }

    #[tokio::test]
    async fn watch_tells_each_change_once_and_ends_with_the_process() {
        let (sender, pulse) = watch::channel(well());
        let soft = CancellationToken::new();
        let reporter = Reporter {
            pulse,
            soft: soft.clone(),
        };
        let watch = async |service: &str| {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            reporter.watch(Request::new(request)).await.unwrap().into_inner()
        };
        let (mut ready, mut unknown) = (watch("").await, watch("nonsense").await);
        let said =
            |item: Option<Result<HealthCheckResponse, Status>>| item.unwrap().map(|told| told.status());
        assert_eq!(said(ready.next().await).unwrap(), ServingStatus::Serving);
        assert_eq!(said(unknown.next().await).unwrap(), ServingStatus::ServiceUnknown);
        sender
            .send(Pulse {
                mail: false,
                ..well()
            })
            .unwrap();
        sender
            .send(Pulse {
                store: false,
                ..well()
            })
            .unwrap();
        assert_eq!(said(ready.next().await).unwrap(), ServingStatus::NotServing);
        sender.send(well()).unwrap();
        assert_eq!(said(ready.next().await).unwrap(), ServingStatus::Serving);
        soft.cancel();
        assert_eq!(said(ready.next().await).unwrap(), ServingStatus::NotServing);
        assert_eq!(said(ready.next().await).unwrap_err().code(), Code::Unavailable);
        assert!(ready.next().await.is_none());
        assert_eq!(said(unknown.next().await).unwrap_err().code(), Code::Unavailable);
    }
}
