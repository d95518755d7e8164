//! Mails a second through the sending path, against Postfix's `smtp-source` and its `smtp-sink`.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use mailfactor::{
    domain::{
        account::{Account, AccountSettings, Link, Replies, Security, Sender, Server, Volume},
        address::{EmailAddress, LocalPart},
        challenge::Purpose,
        clock::{Clock as _, Timestamp},
        code::CodeSpec,
        entropy::random_bytes,
        id::{AccountId, ChallengeId, EntryId, LeaseId},
        keyring::{KeyId, Keyring, Sealed, Subject},
        message::{CodeMail, Mail, MailContext, message_id},
        preset::Preset,
    },
    mail::{Cover, MailSettings, Rendered, Renderer, Transports},
    store::{RefreshTokens, RefreshTurn, StoreResult},
    system::{SteadyClock, SystemEntropy},
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{
    Outcome,
    arguments::Arguments,
    drive::drive,
    helper::{Helper, Role},
    machine,
    report::{Figure, Report, median},
};

/// Connections at once.
const CONNECTIONS: [usize; 3] = [1, 4, 16];

/// How long Postfix's sink may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plenty of time.
const NO_HURRY: Duration = Duration::from_mins(10);

/// Measures ours and theirs in turn.
pub(crate) async fn measure(arguments: &Arguments, report: &mut Report) -> Outcome<()> {
    let mails = if arguments.quick { 200 } else { 6_000 };
    let Some(sink) = PostfixSink::start().await? else {
        report.skip(
            "mails a second",
            "Postfix's smtp-sink and smtp-source are not installed",
        );
        return Ok(());
    };
    for connections in CONNECTIONS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..arguments.repetitions() {
            let given = [
                sink.address.to_string(),
                connections.to_string(),
                mails.to_string(),
            ];
            let told = Helper::ask(Role::Mails, machine::SERVER, &given)?;
            let [rate, length] = told[..] else {
                return Err("the sending path told no rate and no length".into());
            };
            ours.push(rate);
            theirs.push(source(sink.address, connections, mails, length)?);
        }
        report.add(
            Figure::new("mails, rendered and sent", median(ours), "/s")
                .at(connections)
                .beside("smtp-source -d", median(theirs))
                .at_least(1.5),
        );
    }
    Ok(())
}

/// Mails a second of Postfix's client, from its first byte to its end, on the service's core.
fn source(sink: SocketAddr, connections: usize, mails: usize, length: f64) -> Outcome<f64> {
    let mut command = Command::new("smtp-source");
    command
        .arg("-d")
        .args([
            "-s",
            &connections.to_string(),
            "-m",
            &mails.to_string(),
            "-l",
            &length.to_string(),
        ])
        .args(["-f", "login@example.org", "-t", "u1@load.example.com"])
        .arg(format!("inet:{sink}"))
        .stdin(Stdio::null());
    let began = Instant::now();
    let status = machine::spawn_on(machine::SERVER, &mut command)?.wait()?;
    let took = began.elapsed();
    if !status.success() {
        return Err(format!("smtp-source ended with {status}").into());
    }
    Ok(mails as f64 / took.as_secs_f64())
}

/// Postfix's sink; it ends when it is dropped.
struct PostfixSink {
    child: Child,
    address: SocketAddr,
}

impl PostfixSink {
    /// Starts it beside the driver. `None`: it is not installed.
    async fn start() -> Outcome<Option<Self>> {
        // Nothing but the kernel's luck keeps somebody from taking the port in between: then it is tried again.
        for _ in 0..3 {
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            let mut command = Command::new("smtp-sink");
            command
                .args(["-u", "nobody"])
                .arg(format!("inet:{address}"))
                .arg("128")
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            let Ok(child) = machine::spawn_on(machine::CLIENT, &mut command) else {
                return Ok(None);
            };
            let sink = Self { child, address };
            let listens = timeout(PATIENCE, async {
                while TcpStream::connect(address).await.is_err() {
                    sleep(Duration::from_millis(5)).await;
                }
            });
            if listens.await.is_ok() {
                return Ok(Some(sink));
            }
        }
        Err("smtp-sink does not listen".into())
    }
}

impl Drop for PostfixSink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a process of its own: renders and sends so many mails over so many connections, opening them included; tells how
/// many that was a second, and the length of one.
pub(crate) async fn send(server: SocketAddr, connections: usize, mails: usize) -> Outcome<()> {
    let post = Arc::new(Post::new(server, connections)?);
    let length = post.render(0)?.message.len();
    let sending = Arc::clone(&post);
    let call = move |_, number| {
        let post = Arc::clone(&sending);
        async move { post.send(number).await }
    };
    let (measured, _) = drive(0..mails, connections, NO_HURRY, call).await?;
    println!("{} {length}", measured.rate());
    Ok(())
}

/// The sending path, from the opened mail on.
struct Post {
    renderer: Renderer,
    transports: Transports,
    account: Account,
    keyring: Arc<Keyring>,
    clock: Arc<SteadyClock>,
}

impl Post {
    fn new(server: SocketAddr, connections: usize) -> Outcome<Self> {
        let clock = Arc::new(SteadyClock::new());
        let keyring = Arc::new(Keyring::new([(
            KeyId::parse("load")?,
            random_bytes(&SystemEntropy),
        )])?);
        let settings = MailSettings {
            pool_size: connections,
            ..MailSettings::default()
        };
        let transports = Transports::new(
            settings,
            Arc::clone(&keyring),
            clock.clone(),
            Arc::new(SystemEntropy),
            Arc::new(NoTokens),
        )?;
        let sender = EmailAddress::parse("login@example.org", LocalPart::Ascii)?;
        let account = Account {
            id: AccountId::random(&SystemEntropy),
            is_default: true,
            settings: AccountSettings {
                name: "sink".to_owned(),
                enabled: true,
                server: Server {
                    host: server.ip().to_string(),
                    port: server.port(),
                    security: Security::Plain,
                },
                order: 0,
                preset: Preset::OTHER,
                link: Link::default(),
                login: None,
                sender: Sender {
                    display_name: "Example Login".to_owned(),
                    ..Sender::new(sender)
                },
                volume: Volume::default(),
            },
            created_at: clock.now(),
            updated_at: clock.now(),
            version: 1,
            proof: None,
        };
        Ok(Self {
            renderer: Renderer::default(),
            transports,
            account,
            keyring,
            clock,
        })
    }

    fn render(&self, number: usize) -> Outcome<Rendered> {
        let mail = Mail::Code(CodeMail {
            challenge: ChallengeId::random(&SystemEntropy),
            number: 1,
            purpose: Purpose::Login,
            spec: CodeSpec::default(),
            key: self.keyring.newest(),
            lifetime_seconds: 300,
            context: MailContext {
                recipient: EmailAddress::parse(&format!("u{number}@load.example.com"), LocalPart::Ascii)?,
                user: format!("u{number}"),
                endpoint: String::new(),
                event: String::new(),
                locale: "en".to_owned(),
                client_ip: String::new(),
                replies: Replies::default(),
                asked: None,
            },
            account: None,
        });
        let cover = Cover {
            sender: &self.account.settings.sender,
            submitted_at: self.clock.now(),
            message_id: &message_id(&EntryId::random(self.clock.now(), &SystemEntropy), "example.org"),
        };
        Ok(self
            .renderer
            .render(&mail, cover, &self.keyring)
            .map_err(|failure| failure.to_string())?)
    }

    async fn send(&self, number: usize) -> Outcome<()> {
        let mail = self.render(number)?;
        let pass = self
            .transports
            .enter(&self.account)
            .map_err(|_| "the account rests")?;
        let until: Timestamp = self.clock.now().plus(Duration::from_mins(5));
        let sent = self
            .transports
            .send(pass, &self.account, &mail, until, async { Ok(()) });
        sent.await.map_err(|unsent| format!("not sent: {unsent:?}"))?;
        Ok(())
    }
}

/// For accounts that use none.
struct NoTokens;

#[async_trait]
impl RefreshTokens for NoTokens {
    async fn take_turn(&self, _: Subject, _: LeaseId) -> StoreResult<RefreshTurn> {
        Ok(RefreshTurn::Yours(None))
    }

    async fn end_turn(&self, _: Subject, _: LeaseId, _: Option<Sealed>) -> StoreResult<bool> {
        Ok(true)
    }
}
