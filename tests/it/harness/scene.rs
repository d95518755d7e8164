//! A service with a mail server, an administrator and an authentication server, on a clock moved by hand.

use std::{sync::Arc, time::Duration};

use mail_parser::MessageParser;
use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{
    ManualClock,
    client::Client,
    in_time,
    service::{Home, Service},
    smtp::{Captured, SmtpServer},
};

/// All of it. `service` comes first, so that it ends before what it needs.
pub struct Scene {
    pub service: Service,
    pub smtp: SmtpServer,
    pub clock: Arc<ManualClock>,
    /// Sets up accounts, sees everything.
    pub admin: Client,
    /// An authentication server.
    pub idp: Client,
    pub home: Home,
}

impl Scene {
    /// In an empty home with users ann, bo and cy.
    pub async fn set() -> Self {
        let home = Home::new();
        home.users(&[
            ("ann", "ann@example.com"),
            ("bo", "bo@example.com"),
            ("cy", "cy@example.com"),
        ]);
        Self::at(home).await
    }

    /// In this home.
    pub async fn at(home: Home) -> Self {
        let smtp = SmtpServer::plain().await;
        let clock = Arc::new(ManualClock::new());
        let machine = Machine {
            clock: clock.clone(),
            ..Machine::real()
        };
        let service = home.serve(machine).await;
        let admin = service.client(&home.caller("ops", Role::Admin).await).await;
        admin.mail_through(smtp.address).await;
        let idp = service
            .client(&home.caller("idp", Role::Authenticator).await)
            .await;
        Self {
            service,
            smtp,
            clock,
            admin,
            idp,
            home,
        }
    }

    /// One more caller.
    pub async fn caller(&self, name: &str, role: Role) -> Client {
        self.service.client(&self.home.caller(name, role).await).await
    }

    /// The mails once there are so many.
    pub async fn mails(&self, count: usize) -> Vec<Captured> {
        in_time(self.smtp.wait_for_mails(count)).await
    }

    /// Ends the service.
    pub async fn end(self) {
        self.service.stop().await;
    }
}

/// A request for a code that answers when the mail server has spoken.
pub fn waiting(user: &str) -> pb::StartChallengeRequest {
    pb::StartChallengeRequest {
        user: user.to_owned(),
        wait_for_mail_server: true,
        ..pb::StartChallengeRequest::default()
    }
}

/// Starts a challenge as this request says.
pub async fn start(client: &Client, request: pb::StartChallengeRequest) -> Result<pb::Challenge, Status> {
    let answer = client.challenges.clone().start_challenge(request).await?;
    Ok(answer.into_inner().challenge.unwrap())
}

/// The moment after the challenge's start, in seconds.
pub fn seconds_after(start: Option<prost_types::Timestamp>, moment: Option<prost_types::Timestamp>) -> i64 {
    moment.unwrap().seconds - start.unwrap().seconds
}

/// The text of a mail as people read it.
pub fn text(mail: &Captured) -> String {
    let parsed = MessageParser::default().parse(mail.data.as_bytes()).unwrap();
    parsed.body_text(0).unwrap().into_owned()
}

/// The HTML of a mail.
pub fn html(mail: &Captured) -> String {
    let parsed = MessageParser::default().parse(mail.data.as_bytes()).unwrap();
    parsed.body_html(0).unwrap().into_owned()
}

/// One header of a mail, as a mail program reads it.
pub fn header(mail: &Captured, name: &str) -> Option<String> {
    let parsed = MessageParser::default().parse(mail.data.as_bytes()).unwrap();
    parsed.header_raw(name).map(|value| value.trim().to_owned())
}

/// What a refusal says, when it says all that every refusal has to.
pub fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.unwrap_err();
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "mailfactor");
    assert!(!status.message().is_empty());
    (status.code(), info.reason)
}

/// How long a refusal tells to wait.
pub fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}
