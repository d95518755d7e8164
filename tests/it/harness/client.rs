//! A caller over real gRPC, with its API key on every call.

use std::{net::SocketAddr, time::Duration};

use mailfactor::pb::v1::{
    self as pb, email_otp_authenticator_client::EmailOtpAuthenticatorClient,
    mail_audit_client::MailAuditClient, mail_inbox_client::MailInboxClient,
    mail_outbox_client::MailOutboxClient, mail_sender_policy_client::MailSenderPolicyClient,
    user_repositories_client::UserRepositoriesClient,
};
use tokio::time::timeout;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::service::PATIENCE;

/// A connection that carries an API key.
pub type Called = InterceptedService<Channel, Key>;

/// Puts an API key on every call.
#[derive(Clone)]
pub struct Key(MetadataValue<Ascii>);

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// The services, as one caller.
#[derive(Clone)]
pub struct Client {
    /// Challenges.
    pub challenges: EmailOtpAuthenticatorClient<Called>,
    /// Mail accounts.
    pub policy: MailSenderPolicyClient<Called>,
    /// Mails.
    pub outbox: MailOutboxClient<Called>,
    /// What was done.
    pub audit: MailAuditClient<Called>,
    /// Inboxes.
    pub inbox: MailInboxClient<Called>,
    /// Repositories of users.
    pub repositories: UserRepositoriesClient<Called>,
}

impl Client {
    /// Connects as the holder of a key.
    pub async fn connect(address: SocketAddr, key: &str) -> Self {
        let channel = channel(address).await.unwrap();
        let key = Key(format!("Bearer {key}").parse().unwrap());
        Self {
            challenges: EmailOtpAuthenticatorClient::with_interceptor(channel.clone(), key.clone()),
            policy: MailSenderPolicyClient::with_interceptor(channel.clone(), key.clone()),
            outbox: MailOutboxClient::with_interceptor(channel.clone(), key.clone()),
            audit: MailAuditClient::with_interceptor(channel.clone(), key.clone()),
            inbox: MailInboxClient::with_interceptor(channel.clone(), key.clone()),
            repositories: UserRepositoriesClient::with_interceptor(channel, key),
        }
    }

    /// Waits until health says that the server is ready. `check` runs between the questions and may panic.
    pub async fn wait_until_serving(address: SocketAddr, mut check: impl FnMut()) {
        let serving = timeout(PATIENCE, async {
            while health(address, "").await != Some(ServingStatus::Serving) {
                check();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        serving.await.expect("the service does not become ready");
    }

    /// Makes an unencrypted SMTP server at this address the account that mail goes through. Gives the account.
    pub async fn mail_through(&self, server: SocketAddr) -> pb::Account {
        self.create_account(pb::Account {
            name: format!("test-{}", server.port()),
            enabled: true,
            host: server.ip().to_string(),
            port: i32::from(server.port()),
            security: pb::ConnectionSecurity::None.into(),
            sender: "login@example.org".to_owned(),
            display_name: "Example Login".to_owned(),
            ..pb::Account::default()
        })
        .await
    }

    /// Creates an account; the first becomes the default.
    pub async fn create_account(&self, account: pb::Account) -> pb::Account {
        let request = pb::CreateAccountRequest {
            account: Some(account),
        };
        let answer = self.policy.clone().create_account(request).await.unwrap();
        answer.into_inner().account.unwrap()
    }

    /// Starts a challenge for a user's login.
    pub async fn start(&self, user: &str) -> Result<pb::Challenge, Status> {
        let request = pb::StartChallengeRequest {
            user: user.to_owned(),
            ..pb::StartChallengeRequest::default()
        };
        let answer = self.challenges.clone().start_challenge(request).await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    /// The same for a user with a password.
    pub async fn start_with(&self, user: &str, password: &str) -> Result<pb::Challenge, Status> {
        let request = pb::StartChallengeRequest {
            user: user.to_owned(),
            password: password.to_owned(),
            ..pb::StartChallengeRequest::default()
        };
        let answer = self.challenges.clone().start_challenge(request).await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    /// Submits a code.
    pub async fn verify(&self, challenge_id: &str, code: &str) -> Result<pb::VerifyCodeResponse, Status> {
        let request = pb::VerifyCodeRequest {
            challenge_id: challenge_id.to_owned(),
            code: code.to_owned(),
            ..pb::VerifyCodeRequest::default()
        };
        self.judge(request).await
    }

    /// Submits a code as this request says.
    pub async fn judge(&self, request: pb::VerifyCodeRequest) -> Result<pb::VerifyCodeResponse, Status> {
        Ok(self.challenges.clone().verify_code(request).await?.into_inner())
    }

    /// Watches a challenge until its mail has come so far.
    pub async fn wait_until(&self, challenge_id: &str, delivery: pb::DeliveryState) {
        let request = pb::WatchChallengeRequest {
            challenge_id: challenge_id.to_owned(),
        };
        let mut updates = self
            .challenges
            .clone()
            .watch_challenge(request)
            .await
            .unwrap()
            .into_inner();
        let reached = timeout(PATIENCE, async {
            while let Some(update) = updates.message().await.unwrap() {
                if update.challenge.unwrap().delivery() == delivery {
                    return true;
                }
            }
            false
        });
        assert_eq!(reached.await, Ok(true), "the mail does not become {delivery:?}");
    }

    /// Asks for a further code.
    pub async fn resend(&self, challenge_id: &str) -> Result<pb::Challenge, Status> {
        let request = pb::ResendCodeRequest {
            challenge_id: challenge_id.to_owned(),
            ..pb::ResendCodeRequest::default()
        };
        let answer = self.challenges.clone().resend_code(request).await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    /// The challenge as it stands.
    pub async fn get(&self, challenge_id: &str) -> Result<pb::Challenge, Status> {
        let request = pb::GetChallengeRequest {
            challenge_id: challenge_id.to_owned(),
        };
        let answer = self.challenges.clone().get_challenge(request).await?;
        Ok(answer.into_inner().challenge.unwrap())
    }
}

/// What health says of a service's name; `None` where nobody answers.
pub async fn health(address: SocketAddr, service: &str) -> Option<ServingStatus> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let mut client = HealthClient::new(channel(address).await.ok()?);
    Some(client.check(request).await.ok()?.into_inner().status())
}

/// A connection of its own.
pub async fn channel(address: SocketAddr) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(Duration::from_secs(5))
        .timeout(PATIENCE)
        .connect()
        .await
}
