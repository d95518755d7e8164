//! A mail server for tests: it captures what it is given, and does at each stage what it is told to do.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailfactor::{
    domain::{
        account::Security,
        clock::{Clock as _, Timestamp},
    },
    system::SteadyClock,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::bearers::{Bearers, CHALLENGE};

/// Where in a dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// Before the greeting.
    Greeting,
    /// EHLO before STARTTLS, or the only one.
    Ehlo,
    /// The STARTTLS command.
    StartTls,
    /// Instead of the TLS handshake.
    Handshake,
    /// EHLO after STARTTLS.
    EhloAgain,
    /// AUTH, in either form.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// While the message comes in: it is not read.
    Body,
    /// The final dot, the mail stored.
    Dot,
    /// The final dot, the mail not stored.
    Refuse,
    /// RSET.
    Rset,
}

/// What to do there.
#[derive(Clone, Debug)]
pub enum Act {
    /// Send this, as it is, and go on as if it had been a success.
    Raw(String),
    /// Send this reply, and wait for the next command.
    Reply(&'static str),
    /// Send this reply, and close the connection.
    Farewell(&'static str),
    /// Wait, then do as usual.
    Delay(Duration),
    /// Say nothing, for ever.
    Silence,
    /// Close the connection.
    Drop,
    /// Reset it.
    Reset,
    /// Send the beginning of a reply a byte at a time, this far apart, for ever.
    Drip(Duration),
    /// Send a line without an end.
    Endless,
}

/// A mail as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// On which connection, counted from 1.
    pub connection: usize,
    /// What followed MAIL FROM:
    pub sender: String,
    /// What followed RCPT TO:
    pub recipient: String,
    /// The message, dots undone.
    pub data: String,
    /// When its last byte was in.
    pub at: Timestamp,
}

/// How a server is set up.
#[derive(Clone)]
pub struct Options {
    pub security: Security,
    pub tls: Option<Arc<ServerConfig>>,
    /// What the server offers beyond STARTTLS and AUTH.
    pub keywords: Vec<&'static str>,
    pub offer_starttls: bool,
    /// The mechanisms it offers, and the only user and password it takes.
    pub login: Option<(&'static str, &'static str, &'static str)>,
    /// Takes access tokens, by XOAUTH2 and OAUTHBEARER, in place of that.
    pub bearers: Option<Bearers>,
    /// Invites a message even to no recipient, as RFC 2920, 3.1 lets it.
    pub invites_to_nobody: bool,
    pub speech: Speech,
}

/// How replies go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speech {
    /// One by one.
    #[default]
    Usual,
    /// Those to commands that came together in one write.
    Together,
    /// Byte by byte.
    Bytes,
}

/// Commands that were taken from one read, `.` for the end of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// On which connection, counted from 1.
    pub connection: usize,
    /// Their verbs.
    pub verbs: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            security: Security::Plain,
            tls: None,
            keywords: vec!["8BITMIME", "SMTPUTF8"],
            offer_starttls: true,
            login: None,
            bearers: None,
            invites_to_nobody: false,
            speech: Speech::Usual,
        }
    }
}

impl Options {
    /// One that offers what servers of today do.
    pub fn modern() -> Self {
        Self {
            keywords: vec![
                "PIPELINING",
                "SIZE 10240000",
                "8BITMIME",
                "SMTPUTF8",
                "DSN",
                "ENHANCEDSTATUSCODES",
            ],
            ..Self::default()
        }
    }

    /// One that takes a command at a time, and one that takes them in groups.
    pub fn both() -> [Self; 2] {
        [Self::default(), Self::modern()]
    }
}

type Script = HashMap<At, (usize, Act)>;

struct Shared {
    options: Options,
    script: Mutex<Script>,
    mails: watch::Sender<Vec<Captured>>,
    connections: watch::Sender<usize>,
    commands: Mutex<Vec<String>>,
    flights: Mutex<Vec<Flight>>,
    round_trips: Mutex<usize>,
    hellos: Mutex<Vec<String>>,
    logins: Mutex<Vec<String>>,
}

/// A running server; dropped, it stops.
pub struct SmtpServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SmtpServer {
    /// A plain one that takes everything.
    pub async fn plain() -> Self {
        Self::start(Options::default()).await
    }

    pub async fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            options,
            script: Mutex::default(),
            mails: watch::channel(Vec::new()).0,
            connections: watch::channel(0).0,
            commands: Mutex::default(),
            flights: Mutex::default(),
            round_trips: Mutex::default(),
            hellos: Mutex::default(),
            logins: Mutex::default(),
        });
        let mut listening = JoinSet::new();
        let task = listening.spawn(serve(listener, Arc::clone(&shared)));
        listening.detach_all();
        Self {
            address,
            shared,
            task,
        }
    }

    /// Does this there from now on.
    pub fn on(&self, at: At, act: Act) {
        self.times(usize::MAX, at, act);
    }

    /// Does this there so many times, and then as usual.
    pub fn times(&self, times: usize, at: At, act: Act) {
        self.shared.script.lock().unwrap().insert(at, (times, act));
    }

    /// Does everything as usual again.
    pub fn behave(&self) {
        self.shared.script.lock().unwrap().clear();
    }

    /// The mails so far.
    pub fn mails(&self) -> Vec<Captured> {
        self.shared.mails.borrow().clone()
    }

    /// Waits until there are so many.
    pub async fn wait_for_mails(&self, count: usize) -> Vec<Captured> {
        let mut mails = self.shared.mails.subscribe();
        let enough = super::in_time(mails.wait_for(|mails| mails.len() >= count)).await;
        enough.unwrap().clone()
    }

    /// Waits until there is a mail to this address; the newest.
    pub async fn wait_for_mail_to(&self, address: &str) -> Captured {
        let path = format!("<{address}>");
        let mut mails = self.shared.mails.subscribe();
        let mut seen = 0;
        let found = mails.wait_for(|mails| {
            let found = mails[seen..].iter().any(|mail| mail.recipient.starts_with(&path));
            seen = mails.len();
            found
        });
        let mails = found.await.unwrap();
        let mut newest = mails.iter().rev();
        newest
            .find(|mail| mail.recipient.starts_with(&path))
            .unwrap()
            .clone()
    }

    /// Whether something is still to be done there that is no usual thing.
    pub fn is_pending(&self, at: At) -> bool {
        let script = self.shared.script.lock().unwrap();
        script.get(&at).is_some_and(|(times, _)| *times > 0)
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        *self.shared.connections.borrow()
    }

    /// The verbs of the commands so far, over all connections.
    pub fn commands(&self) -> Vec<String> {
        self.shared.commands.lock().unwrap().clone()
    }

    /// The same, by what came together.
    pub fn flights(&self) -> Vec<Flight> {
        self.shared.flights.lock().unwrap().clone()
    }

    /// How often a client waited for the server before it went on, over all connections.
    pub fn round_trips(&self) -> usize {
        *self.shared.round_trips.lock().unwrap()
    }

    /// The names given in EHLO so far.
    pub fn hellos(&self) -> Vec<String> {
        self.shared.hellos.lock().unwrap().clone()
    }

    /// What AUTH PLAIN said so far, decoded.
    pub fn logins(&self) -> Vec<String> {
        self.shared.logins.lock().unwrap().clone()
    }

    /// How often a verb was used.
    pub fn count(&self, verb: &str) -> usize {
        self.commands().iter().filter(|command| *command == verb).count()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut dialogues = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                stream.set_nodelay(true).unwrap();
                shared.connections.send_modify(|count| *count += 1);
                let number = *shared.connections.borrow();
                let dialogue = Dialogue {
                    shared: Arc::clone(&shared),
                    number,
                    conn: Conn::Plain(stream),
                    input: Vec::new(),
                    output: Vec::new(),
                    spoke: false,
                    fresh: true,
                };
                dialogues.spawn(async move { let _ = dialogue.run().await; });
            }
            Some(_) = dialogues.join_next() => {}
        }
    }
}

enum Conn {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Gone,
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

impl Conn {
    fn io(&mut self) -> io::Result<&mut dyn Both> {
        match self {
            Self::Plain(stream) => Ok(stream),
            Self::Tls(stream) => Ok(stream.as_mut()),
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn reset(&self) {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Gone => return,
        };
        stream.set_zero_linger().unwrap();
    }
}

/// One connection.
struct Dialogue {
    shared: Arc<Shared>,
    number: usize,
    conn: Conn,
    input: Vec<u8>,
    /// What waits to be said together.
    output: Vec<u8>,
    /// Whether something was said since the last read.
    spoke: bool,
    /// Whether the next command is the first of a read.
    fresh: bool,
}

/// What the script said.
enum Next {
    Usual,
    /// A reply was sent in place of the usual one; the flag: it counts as a success.
    Said(bool),
}

const END: io::ErrorKind = io::ErrorKind::ConnectionAborted;

impl Dialogue {
    async fn run(mut self) -> io::Result<()> {
        if self.shared.options.security == Security::ImplicitTls {
            self.encrypt().await?;
        }
        self.play(At::Greeting, "220 test.example ESMTP").await?;
        let mut encrypted_later = false;
        let (mut sender, mut recipient) = (None, None);
        while let Some(line) = self.line().await? {
            let verb = line
                .split([' ', ':'])
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase();
            self.shared.commands.lock().unwrap().push(verb.clone());
            self.log(&verb);
            match verb.as_str() {
                "EHLO" => {
                    let name = line["EHLO".len()..].trim().to_owned();
                    self.shared.hellos.lock().unwrap().push(name);
                    let at = if encrypted_later { At::EhloAgain } else { At::Ehlo };
                    let offer = self.offer(encrypted_later);
                    self.play(at, &offer).await?;
                }
                "STARTTLS" => {
                    if self.play(At::StartTls, "220 go ahead").await? {
                        self.encrypt().await?;
                        encrypted_later = true;
                    }
                }
                "AUTH" => self.log_in(&line).await?,
                "MAIL" => {
                    let taken = self.play(At::Mail, "250 2.1.0 sender ok").await?;
                    sender = taken.then(|| line["MAIL FROM:".len()..].to_owned());
                    recipient = None;
                }
                "RCPT" if sender.is_none() => self.say("503 5.5.1 no sender\r\n").await?,
                "RCPT" => {
                    let taken = self.play(At::Rcpt, "250 2.1.5 recipient ok").await?;
                    recipient = taken.then(|| line["RCPT TO:".len()..].to_owned());
                }
                "DATA" => {
                    let usual = if recipient.is_some() || self.shared.options.invites_to_nobody {
                        "354 go ahead"
                    } else {
                        "554 5.5.1 no valid recipients"
                    };
                    if self.play(At::Data, usual).await? && usual.starts_with("354") {
                        self.message(sender.take().zip(recipient.take())).await?;
                    }
                }
                "RSET" => {
                    self.play(At::Rset, "250 2.0.0 reset").await?;
                    (sender, recipient) = (None, None);
                }
                "QUIT" => {
                    self.say("221 2.0.0 bye\r\n").await?;
                    return Ok(());
                }
                _ => self.say("250 2.0.0 ok\r\n").await?,
            }
        }
        Ok(())
    }

    fn offer(&self, encrypted_later: bool) -> String {
        let options = &self.shared.options;
        let mut lines = vec!["test.example".to_owned()];
        if options.security == Security::StartTls && options.offer_starttls && !encrypted_later {
            lines.push("STARTTLS".into());
        }
        lines.extend(options.keywords.iter().map(|&keyword| keyword.to_owned()));
        if options.bearers.is_some() {
            lines.push("AUTH XOAUTH2 OAUTHBEARER".into());
        } else if let Some((mechanisms, ..)) = options.login {
            lines.push(format!("AUTH {mechanisms}"));
        }
        let last = lines.pop().unwrap();
        let mut reply = String::new();
        for line in lines {
            reply += &format!("250-{line}\r\n");
        }
        reply + "250 " + &last
    }

    async fn encrypt(&mut self) -> io::Result<()> {
        if let Next::Said(_) = self.script(At::Handshake).await? {
            return Err(END.into());
        }
        let config = Arc::clone(self.shared.options.tls.as_ref().expect("a certificate"));
        let Conn::Plain(stream) = std::mem::replace(&mut self.conn, Conn::Gone) else {
            return Err(END.into());
        };
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        self.conn = Conn::Tls(Box::new(stream));
        Ok(())
    }

    async fn log_in(&mut self, line: &str) -> io::Result<()> {
        if let Some(bearers) = self.shared.options.bearers.clone() {
            return self.log_in_with_token(line, &bearers).await;
        }
        let Some((_, user, password)) = self.shared.options.login else {
            return self.say("503 5.5.1 no\r\n").await;
        };
        let mut words = line.split(' ').skip(1);
        let right = if words.next() == Some("PLAIN") {
            let given = STANDARD
                .decode(words.next().unwrap_or_default())
                .unwrap_or_default();
            let said = String::from_utf8_lossy(&given).into_owned();
            self.shared.logins.lock().unwrap().push(said);
            given == format!("\0{user}\0{password}").into_bytes()
        } else {
            self.say("334 VXNlcm5hbWU6\r\n").await?;
            let given_user = self.line().await?.unwrap_or_default();
            self.say("334 UGFzc3dvcmQ6\r\n").await?;
            let given_password = self.line().await?.unwrap_or_default();
            given_user == STANDARD.encode(user) && given_password == STANDARD.encode(password)
        };
        let usual = if right {
            "235 2.7.0 welcome"
        } else {
            "535 5.7.8 authentication failed"
        };
        self.play(At::Auth, usual).await?;
        Ok(())
    }

    /// A token that is refused is told why first, in a challenge that wants an answer.
    async fn log_in_with_token(&mut self, line: &str, bearers: &Bearers) -> io::Result<()> {
        let mut words = line.split(' ').skip(1);
        let mechanism = words.next().unwrap_or_default().to_owned();
        let response = if let Some(response) = words.next() {
            response.to_owned()
        } else {
            self.say("334 \r\n").await?;
            self.line().await?.unwrap_or_default()
        };
        if bearers.judge(&mechanism, &response) {
            self.play(At::Auth, "235 2.7.0 welcome").await?;
            return Ok(());
        }
        self.say(&format!("334 {}\r\n", STANDARD.encode(CHALLENGE)))
            .await?;
        let heard = self.line().await?.unwrap_or_default();
        let expected = if mechanism == "XOAUTH2" { "" } else { "AQ==" };
        assert_eq!(heard, expected);
        self.play(At::Auth, "535 5.7.8 authentication failed").await?;
        Ok(())
    }

    /// Takes a message, if there is somebody to take it for.
    async fn message(&mut self, envelope: Option<(String, String)>) -> io::Result<()> {
        self.script(At::Body).await?;
        let end = loop {
            if self.input.starts_with(b".\r\n") {
                break 0;
            }
            if let Some(end) = self.input.windows(5).position(|window| window == b"\r\n.\r\n") {
                break end + 2;
            }
            if self.read().await? == 0 {
                return Err(END.into());
            }
        };
        self.log(".");
        let rest = self.input.split_off(end + 3);
        let taken = std::mem::replace(&mut self.input, rest);
        let Some((sender, recipient)) = envelope else {
            return self.say("554 5.5.1 no valid recipients\r\n").await;
        };
        if let Next::Said(_) = self.script(At::Refuse).await? {
            return Ok(());
        }
        let data = String::from_utf8(taken[..end].to_vec()).unwrap();
        let data = data.replace("\r\n..", "\r\n.");
        self.shared.mails.send_modify(|mails| {
            mails.push(Captured {
                connection: self.number,
                sender,
                recipient,
                data,
                at: SteadyClock::new().now(),
            });
        });
        self.play(At::Dot, "250 2.0.0 queued as 1").await?;
        Ok(())
    }

    fn log(&mut self, verb: &str) {
        let mut flights = self.shared.flights.lock().unwrap();
        let connection = self.number;
        let together = flights
            .iter_mut()
            .rev()
            .find(|flight| flight.connection == connection);
        match together.filter(|_| !self.fresh) {
            Some(flight) => flight.verbs.push(verb.to_owned()),
            None => flights.push(Flight {
                connection,
                verbs: vec![verb.to_owned()],
            }),
        }
        self.fresh = false;
    }

    /// Does what the script says here, else sends the usual reply. Says whether it was a success.
    async fn play(&mut self, at: At, usual: &str) -> io::Result<bool> {
        match self.script(at).await? {
            Next::Usual => {
                self.say(&format!("{usual}\r\n")).await?;
                Ok(true)
            }
            Next::Said(success) => Ok(success),
        }
    }

    async fn script(&mut self, at: At) -> io::Result<Next> {
        let act = {
            let mut script = self.shared.script.lock().unwrap();
            match script.get_mut(&at) {
                Some((times, act)) if *times > 0 => {
                    *times -= 1;
                    Some(act.clone())
                }
                _ => None,
            }
        };
        match act {
            None => Ok(Next::Usual),
            Some(Act::Raw(text)) => {
                self.say(&text).await?;
                Ok(Next::Said(true))
            }
            Some(Act::Reply(text)) => {
                self.say(&format!("{text}\r\n")).await?;
                Ok(Next::Said(false))
            }
            Some(Act::Farewell(text)) => {
                self.say(&format!("{text}\r\n")).await?;
                self.speak_up().await?;
                Err(END.into())
            }
            Some(Act::Delay(span)) => {
                sleep(span).await;
                Ok(Next::Usual)
            }
            Some(Act::Silence) => std::future::pending().await,
            Some(Act::Drop) => Err(END.into()),
            Some(Act::Reset) => {
                self.conn.reset();
                Err(END.into())
            }
            Some(Act::Drip(apart)) => loop {
                self.say("2").await?;
                sleep(apart).await;
            },
            Some(Act::Endless) => loop {
                self.say(&"250-endless ".repeat(64)).await?;
            },
        }
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.spoke = true;
        self.output.extend_from_slice(text.as_bytes());
        // Together with the replies to what has come already.
        if self.shared.options.speech == Speech::Together && self.input.contains(&b'\n') {
            return Ok(());
        }
        self.speak_up().await
    }

    async fn speak_up(&mut self) -> io::Result<()> {
        let output = std::mem::take(&mut self.output);
        let piece = match self.shared.options.speech {
            Speech::Bytes => 1,
            Speech::Usual | Speech::Together => output.len().max(1),
        };
        let io = self.conn.io()?;
        for piece in output.chunks(piece) {
            io.write_all(piece).await?;
            io.flush().await?;
        }
        Ok(())
    }

    async fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let rest = self.input.split_off(end + 2);
                let line = std::mem::replace(&mut self.input, rest);
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.speak_up().await?;
        let mut buffer = [0; 4096];
        let count = self.conn.io()?.read(&mut buffer).await?;
        self.input.extend_from_slice(&buffer[..count]);
        self.fresh = true;
        if std::mem::take(&mut self.spoke) && count > 0 {
            *self.shared.round_trips.lock().unwrap() += 1;
        }
        Ok(count)
    }
}
