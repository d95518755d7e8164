//! A lean mail server, and the driver's view of it: it takes every mail, reads the code out of it and tells both.
//!
//! It speaks what the service may use (PIPELINING, 8BITMIME, SMTPUTF8, SIZE, DSN, ENHANCEDSTATUSCODES), any number of
//! mails on a connection, and answers whatever came together with one write.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::{
    Outcome,
    helper::{Helper, Role},
    machine,
};

/// How long the mails that are owed may take to come.
const PATIENCE: Duration = Duration::from_mins(2);

const GREETING: &[u8] = b"220 sink.example.net ESMTP\r\n";
const HELLO: &[u8] = b"250-sink.example.net\r\n250-PIPELINING\r\n250-SIZE 10485760\r\n250-8BITMIME\r\n\
    250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 DSN\r\n";

/// Serves until the process ends; tells where mail goes, and where codes are told.
pub(crate) async fn serve() -> Outcome<()> {
    let mail = TcpListener::bind("127.0.0.1:0").await?;
    let news = TcpListener::bind("127.0.0.1:0").await?;
    println!("{} {}", mail.local_addr()?, news.local_addr()?);
    let (mut reader, _) = news.accept().await?;
    let (tell, mut told) = mpsc::unbounded_channel::<String>();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(mut lines) = told.recv().await {
            while let Ok(more) = told.try_recv() {
                lines.push_str(&more);
            }
            reader.write_all(lines.as_bytes()).await?;
        }
        Outcome::Ok(())
    });
    loop {
        tokio::select! {
            accepted = mail.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                tasks.spawn(converse(stream, tell.clone()));
            }
            // A client that hangs up is no fault of ours.
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// One connection.
async fn converse(mut stream: TcpStream, tell: mpsc::UnboundedSender<String>) -> Outcome<()> {
    stream.write_all(GREETING).await?;
    let mut dialogue = Dialogue::default();
    let (mut input, mut output) = (Vec::with_capacity(64 * 1024), Vec::new());
    loop {
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let taken = dialogue.hear(&input, &mut output, &tell);
        input.drain(..taken);
        stream.write_all(&output).await?;
        output.clear();
        if dialogue.over {
            return Ok(());
        }
    }
}

/// Where a conversation stands.
#[derive(Default)]
struct Dialogue {
    recipient: String,
    in_data: bool,
    over: bool,
}

impl Dialogue {
    /// Takes what is complete of the input; says how many bytes that was.
    fn hear(&mut self, input: &[u8], output: &mut Vec<u8>, tell: &mpsc::UnboundedSender<String>) -> usize {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let end: &[u8] = if self.in_data { b"\r\n.\r\n" } else { b"\r\n" };
            let Some(at) = rest.windows(end.len()).position(|window| window == end) else {
                return taken;
            };
            let said = &rest[..at];
            taken += at + end.len();
            if self.in_data {
                self.in_data = false;
                let code = code(said).unwrap_or("-");
                let _ = tell.send(format!("{} {code}\n", self.recipient));
                output.extend(b"250 2.0.0 taken\r\n");
            } else {
                output.extend(self.command(said));
            }
        }
    }

    fn command(&mut self, line: &[u8]) -> &'static [u8] {
        let line = String::from_utf8_lossy(line);
        let verb: String = line.chars().take(4).collect::<String>().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" | "HELO" => HELLO,
            "RCPT" => {
                let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
                address
                    .map_or("", |(address, _)| address)
                    .clone_into(&mut self.recipient);
                b"250 2.1.5 ok\r\n"
            }
            "DATA" => {
                self.in_data = true;
                b"354 go on\r\n"
            }
            "QUIT" => {
                self.over = true;
                b"221 2.0.0 bye\r\n"
            }
            _ => b"250 2.0.0 ok\r\n",
        }
    }
}

/// The code of a mail: the first line of six digits and nothing else.
fn code(mail: &[u8]) -> Option<&str> {
    mail.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .find(|line| line.len() == 6 && line.iter().all(u8::is_ascii_digit))
        .and_then(|line| str::from_utf8(line).ok())
}

/// The sink as the driver sees it.
pub(crate) struct Sink {
    /// Where mail goes.
    pub(crate) address: SocketAddr,
    /// What came.
    pub(crate) codes: Codes,
    _reading: JoinSet<Outcome<()>>,
    _helper: Helper,
}

impl Sink {
    /// Starts one, beside the driver.
    pub(crate) async fn start() -> Outcome<Self> {
        let helper = Helper::start(Role::Sink, machine::CLIENT)?;
        let address = helper.address(0)?;
        let stream = TcpStream::connect(helper.address(1)?).await?;
        let codes = Codes::default();
        let mut reading = JoinSet::new();
        let known = codes.clone();
        reading.spawn(async move {
            let mut lines = BufReader::with_capacity(64 * 1024, stream).lines();
            while let Some(line) = lines.next_line().await? {
                if let Some((recipient, code)) = line.split_once(' ') {
                    known.note(recipient, code);
                }
            }
            Ok(())
        });
        Ok(Self {
            address,
            codes,
            _reading: reading,
            _helper: helper,
        })
    }
}

/// Gives the codes that came to whoever waits for them. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Codes(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    mails: u64,
    places: HashMap<String, Place>,
}

/// What is known of a recipient.
enum Place {
    Came(String),
    Wanted(oneshot::Sender<String>),
}

impl Codes {
    /// The code that was mailed to a recipient, once it is there. It is told once, to one.
    pub(crate) async fn of(&self, recipient: &str) -> Outcome<String> {
        let coming = {
            let mut known = self.lock();
            if let Some(Place::Came(code)) = known.places.remove(recipient) {
                return usable(code, recipient);
            }
            let (sender, coming) = oneshot::channel();
            known.places.insert(recipient.to_owned(), Place::Wanted(sender));
            coming
        };
        match timeout(PATIENCE, coming).await {
            Ok(code) => usable(code?, recipient),
            Err(_) => Err(format!("the mail to {recipient} has not come within {PATIENCE:?}").into()),
        }
    }

    /// How many mails came.
    pub(crate) fn mails(&self) -> u64 {
        self.lock().mails
    }

    fn note(&self, recipient: &str, code: &str) {
        let mut known = self.lock();
        known.mails += 1;
        let code = code.to_owned();
        match known.places.remove(recipient) {
            Some(Place::Wanted(waiting)) => {
                // Whoever waited may have given up.
                let _ = waiting.send(code);
            }
            _ => {
                known.places.insert(recipient.to_owned(), Place::Came(code));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn usable(code: String, recipient: &str) -> Outcome<String> {
    if code == "-" {
        return Err(format!("the mail to {recipient} has no code in it").into());
    }
    Ok(code)
}
