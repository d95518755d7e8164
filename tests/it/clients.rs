//! Clients that others wrote, against the real binary: grpcio from Python, grpcurl, `grpc_health_probe`.

use std::{
    io::{BufRead, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
};

use mailfactor::domain::caller::Role;
use serde_json::Value;

use crate::harness::{clients, in_time, letter, process::Process, service::Home, smtp::SmtpServer};

/// A server with one user, one caller and an SMTP server that takes everything.
struct Scene {
    smtp: SmtpServer,
    process: Process,
    key: String,
    _home: Home,
}

impl Scene {
    async fn set() -> Self {
        let smtp = SmtpServer::plain().await;
        let home = Home::new();
        home.users(&[("ann", "ann@example.com")]);
        let admin = home.caller("ops", Role::Admin).await;
        let key = home.caller("idp", Role::Authenticator).await;
        let process = home.spawn().await;
        process.client(&admin).await.mail_through(smtp.address).await;
        Self {
            smtp,
            process,
            key,
            _home: home,
        }
    }
}

#[tokio::test]
async fn python_starts_watches_and_verifies() {
    let Some(python) = clients::python() else { return };
    let scene = Scene::set().await;
    let generated = tempfile::tempdir().unwrap();
    clients::generate_python(&python, generated.path()).await;
    let child = Command::new(python)
        .arg(clients::script("flow.py"))
        .arg(generated.path())
        .args([&scene.process.grpc.to_string(), &scene.key, "ann"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut script = Script(child);
    let mut out = BufReader::new(script.0.stdout.take().unwrap());
    let (asked, out) = tokio::task::spawn_blocking(move || (read_line(&mut out), out))
        .await
        .unwrap();
    if asked.starts_with("CODE? ") {
        let mails = in_time(scene.smtp.wait_for_mails(1)).await;
        let mut input = script.0.stdin.take().unwrap();
        writeln!(input, "{}", letter::code(&mails[0].data)).unwrap();
    }
    let (said, out) = tokio::task::spawn_blocking(move || {
        let mut out = out;
        (read_line(&mut out), out)
    })
    .await
    .unwrap();
    drop(out);
    let errors = script.errors();
    assert_eq!(said, "OK", "{asked}\n{errors}\n{}", scene.process.log());
}

#[tokio::test]
async fn grpcurl_learns_the_protocol_by_reflection() {
    let Some(grpcurl) = clients::grpcurl() else { return };
    let scene = Scene::set().await;
    let server = scene.process.grpc.to_string();
    let bounded = ["-plaintext", "-max-time", "20"];
    let listed = clients::run(&grpcurl, bounded.iter().copied().chain([server.as_str(), "list"])).await;
    for service in ["EmailOtpAuthenticator", "MailSenderPolicy", "MailOutbox"] {
        assert!(
            listed.out.contains(&format!("mailfactor.v1.{service}")),
            "{listed:?}"
        );
    }
    let header = format!("authorization: Bearer {}", scene.key);
    let start = [
        "-H",
        &header,
        "-d",
        r#"{"user": "ann", "purpose": "PURPOSE_LOGIN"}"#,
        &server,
        "mailfactor.v1.EmailOtpAuthenticator/StartChallenge",
    ];
    let started = clients::run(&grpcurl, bounded.iter().copied().chain(start)).await;
    assert!(started.success, "{started:?}");
    let answer: Value = serde_json::from_str(&started.out).unwrap();
    assert_eq!(answer["challenge"]["state"], "CHALLENGE_STATE_PENDING");
    // What is wrong comes in words, not as bytes of a type that nobody knows.
    let nameless = [
        "-H",
        &header,
        "-d",
        r#"{"purpose": "PURPOSE_LOGIN"}"#,
        &server,
        "mailfactor.v1.EmailOtpAuthenticator/StartChallenge",
    ];
    let refused = clients::run(&grpcurl, bounded.iter().copied().chain(nameless)).await;
    for told in [
        "InvalidArgument",
        "google.rpc.ErrorInfo",
        "\"reason\": \"INVALID_FIELD\"",
        "google.rpc.BadRequest",
        "\"field\": \"user\"",
    ] {
        assert!(
            !refused.success && refused.err.contains(told),
            "{told}: {refused:?}"
        );
    }
    // Without a key: refused.
    let start = [
        "-d",
        r#"{"user": "ann"}"#,
        &server,
        "mailfactor.v1.EmailOtpAuthenticator/StartChallenge",
    ];
    let refused = clients::run(&grpcurl, bounded.iter().copied().chain(start)).await;
    assert!(
        !refused.success && refused.err.contains("Code: Unauthenticated"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn grpc_health_probe_sees_readiness_and_liveness() {
    let Some(probe) = clients::grpc_health_probe() else {
        return;
    };
    let scene = Scene::set().await;
    let address = format!("-addr={}", scene.process.grpc);
    let bounds = ["-connect-timeout=10s", "-rpc-timeout=10s"];
    for (service, healthy) in [("", true), ("liveness", true), ("unheard-of", false)] {
        let service = format!("-service={service}");
        let said = clients::run(&probe, [address.as_str(), &service].into_iter().chain(bounds)).await;
        assert_eq!(said.success, healthy, "{service}: {said:?}");
    }
}

fn read_line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// A script that ends with its test.
struct Script(Child);

impl Script {
    /// What it complained of, up to its end.
    fn errors(&mut self) -> String {
        let mut errors = String::new();
        self.0.stdin.take();
        if let Some(mut stream) = self.0.stderr.take() {
            stream.read_to_string(&mut errors).unwrap();
        }
        errors
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
