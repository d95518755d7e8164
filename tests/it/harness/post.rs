//! One account, its mail server and the transports between them: the way out, without a service round it.

use std::{sync::Arc, time::Duration};

use mailfactor::{
    domain::{
        account::{Account, AccountSettings, Link, Login, Secret, Sender, Server, Volume},
        address::{EmailAddress, LocalPart},
        clock::Clock as _,
        delivery::{ConnectionReport, FailureKind, SendFailure, Stage},
        id::AccountId,
        keyring::Keyring,
        message::{Mail, TestMail},
        preset::Preset,
    },
    mail::{Accepted, Cover, MailSettings, Rendered, Renderer, Transports, Unsent, Withheld},
};

use super::{
    CountingEntropy, ManualClock, NoRefreshTokens, in_time, keyring,
    smtp::{Options, SmtpServer},
};

/// Short enough for a test to wait for, long enough for a busy machine's loopback.
pub const SHORT: Duration = Duration::from_millis(400);

/// A server, and transports with one account that send to it.
pub struct Post {
    pub server: SmtpServer,
    pub transports: Transports,
    pub account: Account,
    pub clock: Arc<ManualClock>,
    pub keyring: Arc<Keyring>,
    pub renderer: Renderer,
    pub recipient: EmailAddress,
}

pub fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text, LocalPart::Utf8).unwrap()
}

impl Post {
    pub async fn new(options: Options, settings: MailSettings) -> Self {
        let security = options.security;
        let server = SmtpServer::start(options).await;
        let clock = Arc::new(ManualClock::new());
        let keyring = Arc::new(keyring());
        let account = Account {
            id: AccountId::from_bytes([1; 16]),
            is_default: true,
            settings: AccountSettings {
                name: "main".into(),
                enabled: true,
                server: Server {
                    host: "127.0.0.1".into(),
                    port: server.address.port(),
                    security,
                },
                order: 0,
                preset: Preset::OTHER,
                link: Link::default(),
                login: None,
                sender: Sender {
                    address: address("noreply@example.com"),
                    display_name: "Example".into(),
                    reply_to: None,
                    ..Sender::new(address("noreply@example.com"))
                },
                volume: Volume::default(),
            },
            created_at: clock.now(),
            updated_at: clock.now(),
            version: 1,
            proof: None,
        };
        let transports = Transports::new(
            settings,
            Arc::clone(&keyring),
            clock.clone(),
            Arc::new(CountingEntropy::default()),
            Arc::new(NoRefreshTokens),
        )
        .unwrap();
        Self {
            server,
            transports,
            account,
            clock,
            keyring,
            renderer: Renderer::default(),
            recipient: address("ann@example.org"),
        }
    }

    pub async fn plain() -> Self {
        Self::new(Options::default(), MailSettings::default()).await
    }

    /// One whose patience is short.
    pub async fn hasty() -> Self {
        Self::new(Options::default(), hasty()).await
    }

    pub fn log_in_with(&mut self, user: &str, password: &str) {
        let place = Account::secret_place(&self.account.id);
        let sealed = self
            .keyring
            .seal(&place, password.as_bytes(), &CountingEntropy::default());
        self.account.settings.login = Some(Login {
            username: user.into(),
            secret: Secret::Sealed(sealed),
        });
        self.account.version += 1;
    }

    pub fn rendered(&self) -> Rendered {
        let mail = Mail::Test(TestMail {
            recipient: self.recipient.clone(),
            subject: "Hello".into(),
            text: "first line\n.a line with a dot\n.".into(),
            account: self.account.id,
        });
        let cover = Cover {
            sender: &self.account.settings.sender,
            submitted_at: self.clock.now(),
            message_id: "<1@example.com>",
        };
        self.renderer.render(&mail, cover, &self.keyring).unwrap()
    }

    pub async fn attempt(
        &self,
        clearance: impl Future<Output = Result<(), Withheld>> + Send,
    ) -> Result<Accepted, Unsent> {
        let pass = self
            .transports
            .enter(&self.account)
            .expect("the breaker is closed");
        let until = self.clock.now().plus(Duration::from_mins(5));
        let mail = self.rendered();
        in_time(self.transports.send(pass, &self.account, &mail, until, clearance)).await
    }

    pub async fn send(&self) -> Result<Accepted, SendFailure> {
        match self.attempt(async { Ok(()) }).await {
            Ok(accepted) => Ok(accepted),
            Err(Unsent::Failed(failure)) => Err(failure),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// The stage, kind and code of the failure.
    pub async fn fails(&self) -> (Stage, FailureKind, Option<u16>) {
        let failure = self.send().await.unwrap_err();
        (failure.stage, failure.kind, failure.code)
    }

    pub async fn test(&self) -> ConnectionReport {
        in_time(self.transports.test(&self.account, &self.recipient)).await
    }
}

/// Limits whose patience is short.
pub fn hasty() -> MailSettings {
    MailSettings {
        connect_timeout: SHORT,
        tls_timeout: SHORT,
        command_timeout: SHORT,
        accept_timeout: SHORT,
        ..MailSettings::default()
    }
}
