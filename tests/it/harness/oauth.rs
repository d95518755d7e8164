//! Token endpoints: a real authorization server in a process of its own, and a scripted one for what no real one does.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use super::{
    certs::{Authority, Kind},
    clients, in_time,
};

/// The mailbox that its tokens are for.
pub const MAILBOX: &str = "noreply@example.com";
/// The secret of its client `post`.
pub const POST_SECRET: &str = "p&=+ %-secret-1";
/// The secret of its client `basic`.
pub const BASIC_SECRET: &str = "basic-secret-2~._";
/// The refresh token of its client `public`.
pub const REFRESH_TOKEN: &str = "refresh-token-1";

/// A real authorization server, with the clients that `tests/clients/oauth_server.py` names.
pub struct OauthServer {
    pub address: SocketAddr,
    scheme: &'static str,
    process: Child,
    folder: TempDir,
}

impl OauthServer {
    /// Starts it, or says that the test skips.
    pub async fn start() -> Option<Self> {
        Self::launch(None).await
    }

    /// The same with TLS, under a certificate of this authority.
    pub async fn start_with_tls(authority: &Authority) -> Option<Self> {
        Self::launch(Some(authority)).await
    }

    async fn launch(authority: Option<&Authority>) -> Option<Self> {
        let python = clients::python()?;
        let has = clients::run(&python, ["-c", "import authlib, flask"])
            .await
            .success;
        let python = clients::require(has.then_some(python), "Python with Authlib and Flask")?;
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(python);
        command.arg(clients::script("oauth_server.py")).arg(folder.path());
        if let Some(authority) = authority {
            let issued = authority.issue(Kind::Good);
            for (name, text) in [("server.pem", issued.certificate), ("server.key", issued.key)] {
                let path = folder.path().join(name);
                fs::write(&path, text).unwrap();
                command.arg(path);
            }
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = process.stdout.take().unwrap();
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).map(|_| line)
        });
        let line = in_time(line).await.unwrap().unwrap();
        let port: u16 = line
            .trim()
            .parse()
            .expect("the authorization server does not start");
        Some(Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            scheme: if authority.is_some() { "https" } else { "http" },
            process,
            folder,
        })
    }

    /// Its token endpoint.
    pub fn endpoint(&self) -> String {
        format!("{}://localhost:{}/token", self.scheme, self.address.port())
    }

    /// One of its clients' keys: `rsa.pem`, `ec.pem`, `certificate.pem`, `service.json`.
    pub fn key(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// The requests for tokens so far: grant, scope, client, whether by HTTP Basic, and status.
    pub async fn asked(&self) -> Vec<Value> {
        self.get("/asked").await.as_array().unwrap().clone()
    }

    /// Revokes every access token.
    pub async fn revoke(&self) {
        self.get("/revoke").await;
    }

    async fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        in_time(stream.read_to_string(&mut answer)).await.unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }
}

impl Drop for OauthServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the scripted endpoint does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A token of its own for each request, `token-1` and so on, good for so many seconds.
    Grant(u64),
    /// This status and body.
    Say(u16, String),
    /// These bytes.
    Raw(Vec<u8>),
    /// Nothing, for ever.
    Silence,
    /// A body without an end.
    Endless,
    /// The end of the connection.
    Drop,
}

/// A scripted token endpoint; dropped, it stops.
pub struct ScriptedEndpoint {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    answer: Mutex<Answer>,
    /// Requests wait until it is open.
    open: watch::Sender<bool>,
    requests: watch::Sender<Vec<String>>,
}

impl ScriptedEndpoint {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Mutex::new(answer),
            open: watch::channel(true).0,
            requests: watch::channel(Vec::new()).0,
        });
        let mut tasks = JoinSet::new();
        let task = tasks.spawn(serve(listener, Arc::clone(&shared)));
        tasks.detach_all();
        Self {
            address,
            shared,
            task,
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// Does this from now on.
    pub fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    /// Has requests wait, or go on.
    pub fn open(&self, open: bool) {
        self.shared.open.send_replace(open);
    }

    /// The bodies of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.borrow().clone()
    }

    /// Waits until there were so many requests.
    pub async fn wait_for_requests(&self, count: usize) {
        let mut requests = self.shared.requests.subscribe();
        let enough = in_time(requests.wait_for(|requests| requests.len() >= count)).await;
        enough.unwrap();
    }
}

impl Drop for ScriptedEndpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut dialogues = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                let shared = Arc::clone(&shared);
                dialogues.spawn(async move { let _ = dialogue(stream, &shared).await; });
            }
            Some(_) = dialogues.join_next() => {}
        }
    }
}

async fn dialogue(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut input = Vec::new();
    let body = loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await?;
        input.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&input).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if body.len() >= length {
                break body.to_owned();
            }
        }
        if count == 0 {
            return Ok(());
        }
    };
    shared.requests.send_modify(|requests| requests.push(body));
    let number = shared.requests.borrow().len();
    let _ = shared.open.subscribe().wait_for(|open| *open).await;
    let answer = shared.answer.lock().unwrap().clone();
    match answer {
        Answer::Grant(seconds) => {
            let token = format!(
                r#"{{"access_token":"token-{number}","token_type":"Bearer","expires_in":{seconds}}}"#
            );
            say(&mut stream, 200, &token).await
        }
        Answer::Say(status, body) => say(&mut stream, status, &body).await,
        Answer::Raw(bytes) => stream.write_all(&bytes).await,
        Answer::Silence => std::future::pending().await,
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(&[b' '; 4096]).await?;
            }
        }
        Answer::Drop => Ok(()),
    }
}

async fn say(stream: &mut TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await
}
