//! The command line: every command, what it says, and how it ends.

use std::{collections::VecDeque, fs, time::Duration};

use mailfactor::{domain::caller::Role, pb::v1 as pb};
use serde_json::Value;

use super::harness::{
    command::{Ran, mailfactor},
    letter,
    process::Process,
    scene::start,
    service::Home,
    smtp::{Options, SmtpServer},
};

/// The commands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let commands = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names
        .filter(|name| !name.is_empty() && *name != "help")
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn every_command_explains_itself() {
    let mut found = Vec::new();
    let mut open = VecDeque::from([String::new()]);
    while let Some(command) = open.pop_front() {
        let ran = mailfactor(&format!("{command} --help"), &[], "").await;
        assert_eq!(ran.err, "", "{command}");
        let help = ran.done();
        assert!(help.contains("Usage: mailfactor"), "{command}:\n{help}");
        assert!(
            !help.starts_with("Usage"),
            "{command} says not what it is for:\n{help}"
        );
        let below = listed(&help);
        if below.is_empty() {
            found.push(command.trim().to_owned());
        }
        open.extend(below.into_iter().map(|name| format!("{command} {name}")));
    }
    found.sort();
    assert_eq!(
        found,
        [
            "account add",
            "account default",
            "account dkim list",
            "account dkim remove",
            "account dkim set",
            "account list",
            "account presets",
            "account remove",
            "account send-test",
            "account show",
            "account test",
            "account update",
            "audit list",
            "caller add",
            "caller list",
            "caller remove",
            "caller rotate",
            "challenge cancel",
            "challenge get",
            "challenge resend",
            "challenge start",
            "challenge verify",
            "challenge watch",
            "check",
            "completions",
            "demo",
            "event create",
            "event list",
            "event remove",
            "health",
            "inbox add",
            "inbox check",
            "inbox list",
            "inbox remove",
            "inbox show",
            "inbox test",
            "inbox update",
            "keys create",
            "keys list",
            "keys reseal",
            "keys rotate",
            "migrate",
            "outbox export",
            "outbox list",
            "outbox requeue",
            "outbox show",
            "outbox watch",
            "policy reset",
            "policy set",
            "policy show",
            "repository flush",
            "repository list",
            "repository lookup",
            "sending off",
            "sending on",
            "sending show",
            "serve",
            "template list",
            "template preview",
            "template reset",
            "template set",
            "template show",
            "user forget-addresses",
            "user lock",
            "user show",
            "user unlock",
        ]
    );
    let version = mailfactor("--version", &[], "").await.done();
    assert_eq!(version.trim(), concat!("mailfactor ", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_shell_completes_commands_and_flags() {
    let home = Home::new();
    let file = home.path("completions.bash");
    fs::write(&file, mailfactor("completions bash", &[], "").await.done()).unwrap();
    let file = file.display();
    for (words, expected) in [
        ("mailfactor acc", "account"),
        ("mailfactor account sen", "send-test"),
        ("mailfactor caller add idp --ro", "--role"),
        ("mailfactor caller add idp --role auth", "authenticator"),
    ] {
        // As bash itself asks: the words, which of them is being typed, and the function that `complete` names.
        let asks = format!(
            "source {file}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _mailfactor mailfactor \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let ran = std::process::Command::new("bash")
            .args(["--norc", "-c", &asks])
            .output()
            .unwrap();
        let offered = String::from_utf8(ran.stdout).unwrap();
        assert!(offered.lines().any(|line| line == expected), "{words}: {offered}");
    }
    for shell in ["zsh", "fish"] {
        let script = mailfactor(&format!("completions {shell}"), &[], "").await.done();
        assert!(script.contains("send-test"), "{shell}");
    }
}

#[tokio::test]
async fn wrong_words_end_with_2_and_say_how() {
    for line in [
        "",
        "nothing",
        "serve --fast",
        "caller add",
        "caller add x --role king",
        "caller add x --certificate abc",
        "account add x --password hunter2",
        "account update x --enabled perhaps",
        "account add x --security maybe",
        "outbox list --state lost",
        "challenge start ann --purpose fun",
        "challenge start ann --client-cert x.pem",
        "health --timeout soon",
    ] {
        let ran = mailfactor(line, &[], "").await;
        assert_eq!(ran.out, "", "{line}");
        let err = ran.failed(2);
        assert!(err.contains("--help") || err.contains("Usage:"), "{line}:\n{err}");
    }
}

#[tokio::test]
async fn a_wrong_configuration_ends_with_78_and_every_fault_has_its_name() {
    let home = Home::new();
    let file = home.path("bad.toml");
    fs::write(
        &file,
        "[server]\nlisten = '0.0.0.0:50051'\nlisten_on = 'x'\n\
         [policy]\nattempts = 11\n[policy.code]\nlength = 5\n[policy.lifetime]\nlogin = '601s'\n\
         [events.payroll]\nattempts = 0\n\
         [delivery]\npoll = 'often'\negress = ['10.0.0.0/33']\n\
         [[repository]]\nname = 'staff'\nkind = 'carrier pigeon'\n",
    )
    .unwrap();
    for command in ["check", "serve", "migrate", "caller list", "user show ann"] {
        let began = tokio::time::Instant::now();
        let line = format!("{command} --config {}", file.display());
        let variables = [("MAILFACTOR__LOG__FORMAT", "xml")];
        let err = mailfactor(&line, &variables, "").await.failed(78);
        // The issue says a second; ten are for a machine that does other things as well.
        assert!(began.elapsed() < Duration::from_secs(10));
        for field in [
            "server.listen",
            "server.listen_on",
            "policy.attempts",
            "policy.code.length",
            "policy.lifetime.login",
            "events.payroll.attempts",
            "delivery.poll",
            "delivery.egress",
            "repository[0].kind",
            "log.format",
        ] {
            assert!(err.contains(field), "{command}: {field} is not in:\n{err}");
        }
        assert!(err.contains("mailfactor check"), "what to do next:\n{err}");
    }
    let err = mailfactor("check --config /nonexistent.toml", &[], "")
        .await
        .failed(78);
    assert!(err.contains("/nonexistent.toml"), "{err}");
    fs::write(&file, "[server\n").unwrap();
    let line = format!("check --config {}", file.display());
    mailfactor(&line, &[], "").await.failed(78);
}

#[tokio::test]
async fn plain_text_on_the_network_is_refused_before_anything_listens() {
    let home = Home::new().with("server.listen", "0.0.0.0:0");
    let line = format!("--config {} serve", home.write().display());
    let err = mailfactor(&line, &[], "").await.failed(78);
    assert!(
        err.contains("server.listen") && err.contains("server.allow_plaintext"),
        "{err}"
    );
    assert!(!home.path("mailfactor.db").exists());
}

#[tokio::test]
async fn check_looks_at_everything_and_changes_nothing() {
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    let line = |rest: &str| format!("--config {} {rest}", home.write().display());
    let findings = mailfactor(&line("check --json"), &[], "").await.json();
    let subjects: Vec<&str> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|found| found["subject"].as_str().unwrap())
        .collect();
    assert_eq!(
        subjects,
        ["server", "secrets", "keys", "database", "repository staff"]
    );
    assert!(!home.path("mailfactor.db").exists() && !home.path("mailfactor.keys").exists());

    let made = mailfactor(&line("migrate"), &[], "").await.done();
    assert!(made.contains("mailfactor.db"), "{made}");
    let table = mailfactor(&line("check"), &[], "").await.done();
    for part in ["up to date", "none: nobody can call", "none: no mail goes out"] {
        assert!(table.contains(part), "{part} is not in:\n{table}");
    }
    home.users_text("this is no user");
    let ran = mailfactor(&line("check"), &[], "").await;
    assert!(ran.out.contains("fault"), "{ran:?}");
    assert!(ran.failed(78).contains("1 fault"));

    let defaults = mailfactor("check --defaults", &[], "").await.done();
    let parsed: toml::Table = defaults.parse().unwrap();
    assert!(parsed.contains_key("server") && defaults.contains("# Where gRPC is served."));
}

#[tokio::test]
async fn callers_are_added_listed_rotated_and_removed() {
    let home = Home::new();
    let line = |rest: &str| format!("--config {} {rest}", home.write().display());
    let ran = mailfactor(&line("caller add idp"), &[], "").await;
    assert!(ran.err.contains("not shown again"), "{ran:?}");
    let key = ran.done();
    assert!(key.starts_with("mf_") && key.lines().count() == 1, "{key:?}");
    let added = mailfactor(
        &line("caller add laptops --role endpoint --see-users true --json"),
        &[],
        "",
    )
    .await;
    let added = added.json();
    assert_eq!(
        (&added["role"], &added["see_users"]),
        (&"endpoint".into(), &true.into())
    );
    assert!(added["api_key"].as_str().unwrap().starts_with("mf_"));
    let fingerprint = ["AB"; 32].join(":");
    let by_certificate = line(&format!("caller add web --certificate {fingerprint}"));
    assert!(
        mailfactor(&by_certificate, &[], "")
            .await
            .done()
            .contains("certificate")
    );

    let rotated = mailfactor(&line("caller rotate idp --json"), &[], "")
        .await
        .json();
    assert_ne!(rotated["api_key"].as_str().unwrap(), key.trim());
    let all = mailfactor(&line("caller list --json"), &[], "").await.json();
    let told: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|caller| (caller["name"].as_str().unwrap(), caller["keys"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, [("idp", 2), ("laptops", 1), ("web", 0)]);
    let table = mailfactor(&line("caller list"), &[], "").await.done();
    assert!(
        table.contains("2 keys") && table.contains("certificate"),
        "{table}"
    );
    let secret = key.trim().rsplit('_').next().unwrap();
    assert!(!table.contains(secret) && !all.to_string().contains(secret));

    for (command, part) in [
        ("caller add idp", "caller list"),
        ("caller add no/name", "letters"),
        (
            &format!("caller add twin --certificate {fingerprint}"),
            "caller list",
        ),
        ("caller rotate nobody", "caller list"),
        ("caller remove nobody", "caller list"),
    ] {
        let err = mailfactor(&line(command), &[], "").await.failed(1);
        assert!(
            err.starts_with("error: ") && err.contains(part),
            "{command}: {err}"
        );
    }
    mailfactor(&line("caller remove idp"), &[], "").await.done();
    let all = mailfactor(&line("caller list --json"), &[], "").await.json();
    assert_eq!(all.as_array().unwrap().len(), 2);
}

/// A running server, and who calls it.
struct Scene {
    home: Home,
    process: Process,
    smtp: SmtpServer,
    admin: String,
    idp: String,
}

impl Scene {
    async fn set() -> Self {
        let home = Home::new()
            .with("policy.sends.user.burst", 10)
            .with("policy.sends.address.burst", 10);
        home.users(&[("ann", "ann@example.com")]);
        let process = home.spawn().await;
        let smtp = SmtpServer::start(Options {
            login: Some(("PLAIN", "mailer", "hunter2 hunter2")),
            ..Options::default()
        })
        .await;
        let (admin, idp) = (
            home.caller("ops", Role::Admin).await,
            home.caller("idp", Role::Authenticator).await,
        );
        Self {
            home,
            process,
            smtp,
            admin,
            idp,
        }
    }

    async fn run(&self, key: &str, line: &str, input: &str) -> Ran {
        let server = format!("http://{}", self.process.grpc);
        let variables = [
            ("MAILFACTOR_SERVER", server.as_str()),
            ("MAILFACTOR_API_KEY", key),
        ];
        mailfactor(line, &variables, input).await
    }

    async fn ops(&self, line: &str) -> Ran {
        self.run(&self.admin, line, "").await
    }

    async fn local(&self, line: &str) -> Ran {
        mailfactor(
            &format!("--config {} {line}", self.home.write().display()),
            &[],
            "",
        )
        .await
    }

    /// Adds the account, its password from standard input.
    async fn account(&self) -> String {
        let line = format!(
            "account add work --host {} --port {} --security none --username mailer --sender login@example.org",
            self.smtp.address.ip(),
            self.smtp.address.port()
        );
        let ran = self.run(&self.admin, &line, "hunter2 hunter2\n").await;
        assert!(ran.err.contains("next: mailfactor account test"), "{ran:?}");
        ran.done()
    }
}

#[tokio::test]
async fn accounts_are_added_tried_changed_and_removed() {
    let scene = Scene::set().await;
    let refused = scene.ops("account send-test me@example.com").await.failed(1);
    assert!(
        refused.contains("NO_ACCOUNT") && refused.contains("mailfactor account add"),
        "{refused}"
    );
    let added = scene.account().await;
    assert!(added.contains("work") && !added.contains("hunter2"), "{added}");
    let shown = scene.ops("account show work --json").await.json();
    assert_eq!(
        (&shown["is_default"], &shown["secret"]),
        (&true.into(), &"set".into())
    );
    let tested = scene.ops("account test work").await.done();
    assert!(
        tested.contains("Connected successfully") && tested.contains("auth"),
        "{tested}"
    );
    let sent = scene
        .ops("account send-test me@example.com --subject Hello --json")
        .await
        .json();
    assert_eq!(sent["state"], "DELIVERY_STATE_SENT");
    assert!(scene.smtp.mails()[0].data.contains("Subject: Hello"));

    // A wrong password from a file: the test fails, and says so with its code.
    let file = scene.home.path("new-password");
    fs::write(&file, "wrong\nand more\n").unwrap();
    let line = format!("account update work --password-file {}", file.display());
    scene.ops(&line).await.done();
    let ran = scene.ops("account test work --json").await;
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        report["stages"].as_array().unwrap().last().unwrap()["stage"],
        "STAGE_AUTH"
    );
    assert_eq!(
        report["summary"],
        "Test connection failed. Please review email account information entered."
    );
    ran.failed(1);
    let undelivered = scene.ops("account send-test me@example.com").await.failed(1);
    assert!(
        undelivered.contains("next: mailfactor outbox show"),
        "{undelivered}"
    );

    scene
        .ops("account update work --no-authentication --display-name Login")
        .await
        .done();
    let shown = scene.ops("account show work --json").await.json();
    assert_eq!(
        (&shown["authentication"], &shown["display_name"]),
        (&false.into(), &"Login".into())
    );
    let nothing = scene.ops("account update work").await.failed(1);
    assert!(nothing.contains("--help"), "{nothing}");
    scene
        .ops("account add spare --host relay.lan --security starttls --sender login@example.org --disabled")
        .await
        .done();
    let refused = scene.ops("account default spare").await.failed(1);
    assert!(refused.contains("ACCOUNT_DISABLED"), "{refused}");
    scene
        .ops("account update spare --enabled true --name second")
        .await
        .done();
    scene.ops("account default second").await.done();
    let table = scene.ops("account list").await.done();
    let default = table.lines().find(|row| row.starts_with("second")).unwrap();
    assert!(
        default.contains("default") && default.contains("relay.lan:587"),
        "{table}"
    );
    let refused = scene.ops("account remove second").await.failed(1);
    assert!(refused.contains("ACCOUNT_IS_DEFAULT"), "{refused}");
    scene.ops("account remove work").await.done();
    let missing = scene.ops("account show work").await.failed(1);
    assert!(
        missing.contains("next: see `mailfactor account list`"),
        "{missing}"
    );
    let all = scene.ops("account list --json").await.json();
    assert_eq!(all.as_array().unwrap().len(), 1);
    let bad = "account add bad --host https://x --security tls --sender nobody";
    let faults = scene.ops(bad).await.failed(1);
    assert!(
        faults.contains("account.host: ") && faults.contains("account.sender: "),
        "{faults}"
    );
}

#[tokio::test]
async fn a_challenge_from_start_to_end_and_its_mail_in_the_outbox() {
    let scene = Scene::set().await;
    scene.account().await;
    let run = |line: String| {
        let scene = &scene;
        async move { scene.run(&scene.idp, &line, "").await }
    };
    let started = run("challenge start ann --event vpn --endpoint laptop --wait --json".to_owned())
        .await
        .json();
    assert_eq!(started["delivery"], "DELIVERY_STATE_SENT");
    assert_eq!(
        (&started["event"], &started["endpoint"]),
        (&"vpn".into(), &"laptop".into())
    );
    let id = started["challenge_id"].as_str().unwrap().to_owned();
    let code = letter::code(&scene.smtp.mails()[0].data);
    let got = run(format!("challenge get {id} --json")).await.json();
    assert_eq!(got, started);
    let early = run(format!("challenge resend {id}")).await.failed(1);
    assert!(
        early.contains("RESEND_TOO_EARLY") && early.contains("next: try again in "),
        "{early}"
    );
    let wrong = run(format!("challenge verify {id} {} --json", letter::another(&code))).await;
    assert_eq!(wrong.code, 1);
    let verdict: Value = serde_json::from_str(&wrong.out).unwrap();
    assert_eq!(
        (&verdict["result"], &verdict["attempts_left"]),
        (&"VERIFY_RESULT_WRONG_CODE".into(), &4.into())
    );
    // The code from standard input, as somebody types it.
    let typed = format!("{} {}\n", &code[..3], &code[3..]);
    let line = format!("challenge verify {id}");
    let verified = scene.run(&scene.idp, &line, &typed).await.done();
    assert!(verified.contains("verified"), "{verified}");
    let used = run(format!("challenge verify {id} {code}")).await;
    assert!(used.out.contains("already_used"), "{used:?}");
    used.failed(1);
    // What is over is watched in one line.
    let watched = run(format!("challenge watch {id} --json")).await.json();
    assert_eq!(watched["state"], "CHALLENGE_STATE_VERIFIED");
    let closed = run(format!("challenge cancel {id}")).await.failed(1);
    assert!(closed.contains("CHALLENGE_CLOSED"), "{closed}");

    let second = run("challenge start ann --purpose recovery --json".to_owned())
        .await
        .json();
    let second = second["challenge_id"].as_str().unwrap().to_owned();
    let cancelled = run(format!("challenge cancel {second}")).await.done();
    assert!(
        cancelled.contains("cancelled") && cancelled.contains("recovery"),
        "{cancelled}"
    );

    let mails = scene.ops("outbox list --json --state sent").await.json();
    let sent = mails.as_array().unwrap();
    let entry = sent.last().unwrap()["entry_id"].as_str().unwrap();
    let shown = scene.ops(&format!("outbox show {entry} --json")).await.json();
    assert_eq!(shown["entry"]["account"], "work");
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1);
    let people = scene.ops(&format!("outbox show {entry}")).await.done();
    assert!(
        people.contains("a*****@e*****.com") && !people.contains(&code),
        "{people}"
    );
    let one = scene.ops("outbox list --limit 1 --json").await.json();
    assert_eq!(one.as_array().unwrap().len(), 1);
    let table = scene.ops("outbox list --account nobody").await.done();
    assert_eq!(table.lines().count(), 1, "{table}");
}

#[tokio::test]
async fn users_are_shown_locked_and_unlocked_while_the_server_runs() {
    let scene = Scene::set().await;
    scene.account().await;
    let client = scene.process.client(&scene.idp).await;
    let challenge = start(
        &client,
        pb::StartChallengeRequest {
            user: "ann".to_owned(),
            wait_for_mail_server: true,
            ..pb::StartChallengeRequest::default()
        },
    )
    .await
    .unwrap();
    let code = letter::code(&scene.smtp.mails()[0].data);
    client
        .verify(&challenge.challenge_id, &letter::another(&code))
        .await
        .unwrap();
    let shown = scene.local("user show ann --json").await.json();
    assert_eq!((&shown["failures"], &shown["locked"]), (&1.into(), &false.into()));
    assert_eq!(shown["masked_address"], "a*****@e*****.com");
    scene.local("user lock ann --repository staff").await.done();
    let shown = scene.local("user show ann").await.done();
    assert!(shown.contains("until unlocked"), "{shown}");
    let refused = scene.run(&scene.idp, "challenge start ann", "").await.failed(1);
    assert!(refused.contains("USER_LOCKED"), "{refused}");
    let verdict = client.verify(&challenge.challenge_id, &code).await.unwrap();
    assert_eq!(
        (verdict.result(), verdict.locked_until),
        (pb::VerifyResult::UserLocked, None)
    );
    let said = scene.local("user unlock ann").await.done();
    assert!(said.contains("unlocked"), "{said}");
    let said = scene.local("user unlock ann").await.done();
    assert!(said.contains("was not locked"), "{said}");
    let verdict = client.verify(&challenge.challenge_id, &code).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    for command in [
        "user show nobody",
        "user lock nobody",
        "user show ann --repository none",
    ] {
        let err = scene.local(command).await.failed(1);
        assert!(err.starts_with("error: "), "{command}: {err}");
    }
}

#[tokio::test]
async fn callers_and_locks_are_seen_to_while_the_users_file_is_broken() {
    let scene = Scene::set().await;
    let shown = scene.local("user show ann --json").await.json();
    assert_eq!(shown["id"], "ann");
    scene.local("user lock ann").await.done();
    scene.home.users_text("this is no TOML [");
    let key = scene.local("caller add spare").await.done();
    assert!(key.starts_with("mf_"), "{key}");
    scene.local("caller rotate spare").await.done();
    assert!(scene.local("caller list").await.done().contains("spare"));
    scene.local("caller remove spare").await.done();
    // By the identifier that the repository knows, and in a file of users by the name.
    let shown = scene
        .local("user show --repository staff --id ann --json")
        .await
        .json();
    assert_eq!(shown["locked"], true);
    let said = scene.local("user unlock ann --repository staff").await.done();
    assert!(said.contains("unlocked"), "{said}");
    let shown = scene
        .local("user show --repository staff --id ann --json")
        .await
        .json();
    assert_eq!(shown["locked"], false);
    let err = scene.local("user unlock --id ann").await.failed(2);
    assert!(err.contains("--repository"), "{err}");
}

#[tokio::test]
async fn health_answers_with_its_code() {
    let scene = Scene::set().await;
    let all = scene.run("", "health", "").await;
    assert_eq!(all.done().trim(), "SERVING");
    for (service, code) in [
        ("mailfactor.v1.EmailOtpAuthenticator", 0),
        ("liveness", 0),
        ("no.such.Service", 1),
    ] {
        let ran = scene.run("", &format!("health --service {service}"), "").await;
        assert_eq!(ran.code, code, "{service}: {ran:?}");
        assert_eq!(ran.err.is_empty(), code == 0, "{ran:?}");
    }
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let err = mailfactor(&format!("health --server http://{gone}"), &[], "")
        .await
        .failed(1);
    assert!(err.contains("mailfactor serve"), "{err}");
}

#[tokio::test]
async fn what_fails_says_what_to_do_next() {
    let scene = Scene::set().await;
    let server = format!("http://{}", scene.process.grpc);
    let line = format!("account list --server {server}");
    let err = mailfactor(&line, &[], "").await.failed(1);
    assert!(err.contains("next: ") && err.contains("caller add"), "{err}");
    let unknown = format!("mf_{}_{}", "A".repeat(16), "A".repeat(43));
    let err = scene.run(&unknown, "account list", "").await.failed(1);
    assert!(err.contains("CALLER_UNKNOWN") && err.contains("next: "), "{err}");
    assert!(!err.contains(&unknown), "{err}");
    let err = scene.run(&scene.idp, "account list", "").await.failed(1);
    assert!(
        err.contains("ROLE_MISSING") && err.contains("caller list"),
        "{err}"
    );
    let err = mailfactor("account list --server nowhere:x --api-key k", &[], "")
        .await
        .failed(1);
    assert!(err.contains("next: ") && !err.contains("panicked"), "{err}");
    let err = scene.ops("account list --ca ca.pem").await.failed(1);
    assert!(err.contains("https://"), "{err}");
    let err = mailfactor("account list --api-key-file /nonexistent", &[], "")
        .await
        .failed(1);
    assert!(err.contains("/nonexistent"), "{err}");
    // The key from a file, with a line end, as editors leave it.
    let file = scene.home.path("key");
    fs::write(&file, format!("{}\n", scene.admin)).unwrap();
    let line = format!("account list --server {server} --api-key-file {}", file.display());
    mailfactor(&line, &[], "").await.done();
    // A second server on the same database, and on a port that is taken.
    let err = scene.local("serve").await.failed(1);
    assert!(err.contains("another mailfactor runs"), "{err}");
    let other = Home::new().with("server.listen", scene.process.grpc.to_string());
    let line = format!("--config {} serve", other.write().display());
    let err = mailfactor(&line, &[], "").await.failed(1);
    assert!(err.contains("cannot listen on"), "{err}");
}

#[tokio::test]
async fn the_demo_tells_its_story_and_leaves_nothing() {
    let home = Home::new();
    let directory = home.path("tmp");
    fs::create_dir(&directory).unwrap();
    let variables = [("TMPDIR", directory.to_str().unwrap())];
    let ran = mailfactor("demo", &variables, "").await;
    assert_eq!(ran.err, "");
    let story = ran.done();
    let mut rest = story.as_str();
    for step in [
        "An administrator names the mail server",
        "Connected successfully",
        "StartChallenge(user ann",
        "sent to a*****@e*****.com",
        "Subject: Your sign-in code",
        "Hello Ann Miller",
        "WRONG_CODE, 4 attempts left",
        "VERIFIED at",
        "ALREADY_USED",
        "Ihr Anmeldecode",
        "RESEND_TOO_EARLY",
        "USER_UNKNOWN",
        "ListEntries()",
        "verified once",
    ] {
        let found = rest.find(step);
        let found = found.unwrap_or_else(|| panic!("{step:?} does not come in:\n{story}"));
        rest = &rest[found..];
    }
    assert!(!story.contains('\u{1b}'), "colours are for terminals");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}
