//! Files with secrets, as an attacker who may set up accounts would use them: nothing of the process's own goes to a mail server.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use mailfactor::{
    domain::caller::Role,
    pb::v1::{self as pb, account_secret::Source, test_connection_request::Target},
};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::harness::{
    certs::{Authority, Kind},
    client::Client,
    command::mailfactor,
    service::Home,
    smtp::{Options, SmtpServer},
};

const PASSWORD: &str = "sesame 3 open";

/// A key as an attacker would like it: on the only line of its file.
const KEY: &str = "k1 3f1b6d0c9a7e4852b1c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9012345";

/// A mail server that takes this password, and notes whatever it is shown.
async fn server() -> SmtpServer {
    SmtpServer::start(Options {
        login: Some(("PLAIN", "mailer", PASSWORD)),
        ..Options::default()
    })
    .await
}

fn keep(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A home with a directory for secrets, a key of one line and a file with a password for the directory of users.
fn home() -> Home {
    let mut home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    fs::create_dir(home.path("secrets")).unwrap();
    fs::create_dir(home.path("own")).unwrap();
    keep(&home.path("own/keys"), &format!("{KEY}\n"));
    let path = |name: &str| home.path(name).display().to_string();
    let (secrets, keys) = (path("secrets"), path("own/keys"));
    home.set("secrets.directories", vec![secrets]);
    home.set("keys.file", keys);
    home
}

fn account(server: &SmtpServer, file: &Path) -> pb::Account {
    pb::Account {
        name: "attack".to_owned(),
        enabled: true,
        host: server.address.ip().to_string(),
        port: server.address.port().into(),
        security: pb::ConnectionSecurity::None.into(),
        sender: "login@example.org".to_owned(),
        authentication: true,
        username: "mailer".to_owned(),
        secret: Some(pb::AccountSecret {
            source: Some(Source::File(file.display().to_string())),
        }),
        ..pb::Account::default()
    }
}

async fn create(client: &Client, account: pb::Account) -> Result<pb::Account, Status> {
    let request = pb::CreateAccountRequest {
        account: Some(account),
    };
    let answer = client.policy.clone().create_account(request).await?;
    Ok(answer.into_inner().account.unwrap())
}

/// Whether the saved account works, and what the last stage said.
async fn tried(client: &Client) -> (bool, String) {
    let request = pb::TestConnectionRequest {
        target: Some(Target::Account("attack".to_owned())),
        recipient: String::new(),
    };
    let report = client.policy.clone().test_connection(request).await.unwrap();
    let report = report.into_inner();
    (report.succeeded, report.stages.last().unwrap().reply.clone())
}

#[tokio::test]
async fn the_key_file_never_reaches_a_mail_server() {
    let (home, server) = (home(), server().await);
    let process = home.spawn().await;
    let admin = process.client(&home.caller("ops", Role::Admin).await).await;
    let (keys, file) = (home.path("own/keys"), home.path("secrets/smtp"));
    // Named as it is, by `..`, or by another name that was put among the secrets meanwhile.
    fs::hard_link(&keys, home.path("secrets/hard")).unwrap();
    symlink(&keys, home.path("secrets/soft")).unwrap();
    symlink(home.path("own"), home.path("secrets/own")).unwrap();
    for name in [
        "own/keys",
        "secrets/../own/keys",
        "secrets/hard",
        "secrets/soft",
        "secrets/own/keys",
    ] {
        let refused = create(&admin, account(&server, &home.path(name)))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name}");
        let bad = refused.get_details_bad_request().unwrap().field_violations;
        assert_eq!(bad[0].field, "account.secret", "{name}");
    }
    assert_eq!(server.connections(), 0);
    // Named while it is something else, and exchanged afterwards.
    keep(&file, &format!("{PASSWORD}\n"));
    create(&admin, account(&server, &file)).await.unwrap();
    assert!(tried(&admin).await.0);
    let mut answers = Vec::new();
    let attacks: [(&str, &dyn Fn()); 9] = [
        ("missing", &|| {}),
        ("hard link", &|| fs::hard_link(&keys, &file).unwrap()),
        ("symbolic link", &|| symlink(&keys, &file).unwrap()),
        ("link to a link", &|| {
            symlink("soft", &file).unwrap();
        }),
        ("through a directory", &|| symlink("own/keys", &file).unwrap()),
        ("database", &|| {
            symlink(home.path("mailfactor.db"), &file).unwrap();
        }),
        ("elsewhere", &|| symlink("/etc/hostname", &file).unwrap()),
        ("directory", &|| fs::create_dir(&file).unwrap()),
        ("lines", &|| keep(&file, &format!("{PASSWORD}\nmore\n"))),
    ];
    for (name, attack) in attacks {
        let _ = fs::remove_file(&file);
        let _ = fs::remove_dir(&file);
        attack();
        let (works, told) = tried(&admin).await;
        assert!(!works, "{name}");
        answers.push(told);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the answers tell what is where: {answers:?}");
    // Whoever writes into the database names any file at all.
    let options = SqliteConnectOptions::new().filename(home.path("mailfactor.db"));
    let mut database = options.connect().await.unwrap();
    sqlx::query("UPDATE accounts SET secret = $1, version = version + 1, updated_at = updated_at + 1")
        .bind(keys.display().to_string().into_bytes())
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    let (works, told) = tried(&admin).await;
    assert!(!works);
    assert_eq!(told, answers[0]);
    process.stop().await;
    for login in server.logins() {
        assert_eq!(login, format!("\0mailer\0{PASSWORD}"));
    }
    assert!(!server.logins().is_empty());
}

#[tokio::test]
async fn a_start_with_secrets_of_the_process_among_those_of_accounts_is_refused() {
    let authority = Authority::new();
    let check = async |home: &Home| {
        let line = format!("--config {} check", home.write().display());
        mailfactor(&line, &[], "").await
    };
    let apart = home();
    let good = check(&apart).await;
    assert!(good.done().contains("apart from the key file"));
    // Each kind of file that the configuration names, in the directory or under another name in it.
    let mut keys = home();
    fs::rename(keys.path("own/keys"), keys.path("secrets/keys")).unwrap();
    keys.set("keys.file", keys.path("secrets/keys").display().to_string());
    let mut not_made_yet = home();
    not_made_yet.set(
        "keys.file",
        not_made_yet.path("secrets/new").display().to_string(),
    );
    let hard = home();
    fs::hard_link(hard.path("own/keys"), hard.path("secrets/other")).unwrap();
    let mut tls = home();
    let issued = authority.issue(Kind::Good);
    let (certificate, key) = (tls.path("server.pem"), tls.path("secrets/server.key"));
    fs::write(&certificate, &issued.certificate).unwrap();
    keep(&key, &issued.key);
    tls.set("server.tls.certificate", certificate.display().to_string());
    tls.set("server.tls.key", key.display().to_string());
    let mut url = home();
    let address = format!("sqlite:{}\n", url.path("mailfactor.db").display());
    keep(&url.path("secrets/url"), &address);
    url.set("store.url_file", url.path("secrets/url").display().to_string());
    let mut given = home();
    keep(&given.path("secrets/smtp"), PASSWORD);
    given.set("default_credentials.username", "submitter");
    given.set(
        "default_credentials.password_file",
        given.path("secrets/smtp").display().to_string(),
    );
    for (home, field) in [
        (keys, "keys.file"),
        (not_made_yet, "keys.file"),
        (hard, "keys.file"),
        (tls, "server.tls.key"),
        (url, "store.url_file"),
        (given, "default_credentials.password_file"),
    ] {
        let told = check(&home).await.failed(78);
        assert!(
            told.contains("secrets.directories[0]") && told.contains(field),
            "{field}: {told}"
        );
        let line = format!("--config {} serve", home.write().display());
        let told = mailfactor(&line, &[], "").await.failed(78);
        assert!(told.contains(field), "{field}: {told}");
    }
}
