//! DKIM: what leaves is signed, what a verifier that others wrote says of it, and what keys are refused.

use std::{fs, path::Path};

use mailfactor::pb::v1::{self as pb, dkim_key::Source};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{
    clients,
    command::mailfactor,
    scene::{Scene, refused, start, waiting},
    service::{Home, find_in_files},
};

const RSA: &str = include_str!("../keys/rsa-2048.pem");
const RSA_PKCS1: &str = include_str!("../keys/rsa-2048-pkcs1.pem");

/// A scene whose only account has this name.
async fn scene() -> (Scene, String) {
    let home = Home::new()
        .with("policy.sends.user.burst", 20)
        .with("policy.sends.address.burst", 20);
    let mut home = home;
    let secrets = home.path("secrets");
    fs::create_dir(&secrets).unwrap();
    home.set("secrets.directories", vec![secrets.display().to_string()]);
    home.users(&[("ann", "ann@example.com"), ("bo", "bo@example.com")]);
    let scene = Scene::at(home).await;
    let name = format!("test-{}", scene.smtp.address.port());
    (scene, name)
}

fn key(selector: &str, source: Source) -> pb::DkimKey {
    pb::DkimKey {
        selector: selector.into(),
        enabled: true,
        source: Some(source),
        ..pb::DkimKey::default()
    }
}

async fn set(scene: &Scene, account: &str, key: pb::DkimKey) -> Result<pb::DkimKey, Status> {
    let request = pb::SetDkimKeyRequest {
        account: account.into(),
        key: Some(key),
    };
    let answer = scene.admin.policy.clone().set_dkim_key(request).await?;
    Ok(answer.into_inner().key.unwrap())
}

async fn list(scene: &Scene, account: &str) -> Vec<pb::DkimKey> {
    let request = pb::ListDkimKeysRequest {
        account: account.into(),
    };
    let answer = scene.admin.policy.clone().list_dkim_keys(request).await.unwrap();
    answer.into_inner().keys
}

/// How many signatures the next mail has.
async fn signatures(scene: &Scene) -> usize {
    let before = scene.smtp.mails().len();
    start(&scene.idp, waiting("ann")).await.unwrap();
    let mail = scene.mails(before + 1).await.remove(before);
    mail.data.matches("DKIM-Signature:").count()
}

/// What dkimpy says of each message: for each signature the algorithm and whether it verifies.
async fn verify(python: &Path, keys: &[pb::DkimKey], messages: &[String]) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let records: Value = keys
        .iter()
        .map(|key| (key.record_name.clone(), json!(key.record)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let file = directory.path().join("records.json");
    fs::write(&file, records.to_string()).unwrap();
    let mut arguments = vec![clients::script("verify_dkim.py"), file];
    for (index, message) in messages.iter().enumerate() {
        let file = directory.path().join(format!("{index}.eml"));
        fs::write(&file, message).unwrap();
        arguments.push(file);
    }
    let said = clients::run(python, arguments).await;
    assert!(said.success, "{}", said.err);
    said.out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_verifier_believes_what_was_sent_and_nothing_else() {
    let Some(python) = clients::python() else { return };
    let (scene, account) = scene().await;
    let footnote = pb::UpdateAccountRequest {
        account: Some(pb::Account {
            account_id: scene
                .admin
                .policy
                .clone()
                .get_account(pb::GetAccountRequest {
                    account: account.clone(),
                })
                .await
                .unwrap()
                .into_inner()
                .account
                .unwrap()
                .account_id,
            display_name: "Zoë Example".into(),
            reply_to: "help@example.org".into(),
            footnote_enabled: true,
            footnote: ".one\n\n\nÜ two  ".into(),
            ..pb::Account::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: ["display_name", "reply_to", "footnote_enabled", "footnote"]
                .map(str::to_owned)
                .into(),
        }),
    };
    scene.admin.policy.clone().update_account(footnote).await.unwrap();
    let small = set(&scene, &account, key("mf1", Source::Generate(true)))
        .await
        .unwrap();
    assert_eq!(small.record_name, "mf1._domainkey.example.org");
    assert!(small.record.starts_with("v=DKIM1; k=ed25519; p="));
    let large = set(&scene, &account, key("2026.rsa", Source::PrivateKey(RSA.into())))
        .await
        .unwrap();
    assert!(large.record.starts_with("v=DKIM1; k=rsa; p=MII") && large.record.len() > 400);
    start(&scene.idp, waiting("ann")).await.unwrap();
    let sent = scene.mails(1).await.remove(0).data;
    let (headers, body) = sent.split_once("\r\n\r\n").unwrap();
    let changed = |from: &str, to: &str| {
        assert!(sent.contains(from), "{from} in\n{sent}");
        sent.replacen(from, to, 1)
    };
    let good = json!([["rsa-sha256", true], ["ed25519-sha256", true]]);
    let bad = json!([["rsa-sha256", false], ["ed25519-sha256", false]]);
    let cases = [
        (sent.clone(), &good),
        // What relays do on the way: their own header, spaces, lines folded anew.
        (format!("Received: from a by b;\r\n today\r\n{sent}"), &good),
        (
            changed("\r\nSubject: Your sign-in", "\r\nsubject:  Your\r\n sign-in"),
            &good,
        ),
        (format!("{sent}\r\n\r\n"), &good),
        (changed("\r\nSubject: Your", "\r\nSubject: My"), &bad),
        (changed("\r\nTo: ann@", "\r\nTo: eve@"), &bad),
        (changed("\r\nReply-To: help@", "\r\nReply-To: eve@"), &bad),
        (
            changed("\r\nContent-Language: en", "\r\nContent-Language: de"),
            &bad,
        ),
        (changed("\r\nDate: ", "\r\nDate: Mon, "), &bad),
        (
            format!("{headers}\r\n\r\n{}", body.replacen("code", "c0de", 1)),
            &bad,
        ),
        (format!("{sent}more\r\n"), &bad),
        // Nothing is added that a mail program might show instead.
        (format!("Subject: another\r\n{sent}"), &bad),
        (format!("From: eve@example.net\r\n{sent}"), &bad),
        (format!("To: eve@example.net\r\n{sent}"), &bad),
        (format!("Content-Type: text/plain\r\n{sent}"), &bad),
        (format!("{headers}\r\nSubject: another\r\n\r\n{body}"), &bad),
    ];
    let messages: Vec<String> = cases.iter().map(|(message, _)| message.clone()).collect();
    let keys = [small, large];
    let verdicts = verify(&python, &keys, &messages).await;
    for ((message, expected), verdict) in cases.iter().zip(&verdicts) {
        assert_eq!(verdict, *expected, "{message}");
    }
    // Another key under the name verifies nothing.
    let other = set(&scene, &account, key("mf1", Source::Generate(true)))
        .await
        .unwrap();
    let verdicts = verify(&python, &[other, keys[1].clone()], &[sent]).await;
    assert_eq!(
        verdicts[0],
        json!([["rsa-sha256", true], ["ed25519-sha256", false]])
    );
}

#[tokio::test]
async fn a_key_signs_while_it_is_enabled() {
    let (scene, account) = scene().await;
    assert_eq!(signatures(&scene).await, 0);
    let mut off = key("mf1", Source::PrivateKey(RSA_PKCS1.into()));
    off.enabled = false;
    let off = set(&scene, &account, off).await.unwrap();
    assert_eq!(off.source, Some(Source::Sealed(true)));
    assert_eq!(signatures(&scene).await, 0);
    // As it was read, with the key that is there.
    let on = pb::DkimKey {
        enabled: true,
        ..off.clone()
    };
    let on = set(&scene, &account, on).await.unwrap();
    assert_eq!(
        (&on.record, on.algorithm()),
        (&off.record, pb::DkimAlgorithm::RsaSha256)
    );
    assert_eq!(signatures(&scene).await, 1);
    let stale = set(&scene, &account, off.clone()).await;
    assert_eq!(refused(stale), (Code::Aborted, "ETAG_STALE".into()));
    let mut policy = scene.admin.policy.clone();
    let delete = |etag: &str| pb::DeleteDkimKeyRequest {
        account: account.clone(),
        selector: "mf1".into(),
        etag: etag.into(),
    };
    let stale = policy.delete_dkim_key(delete(&off.etag)).await;
    assert_eq!(refused(stale), (Code::Aborted, "ETAG_STALE".into()));
    policy.delete_dkim_key(delete(&on.etag)).await.unwrap();
    let again = policy.delete_dkim_key(delete("")).await;
    assert_eq!(refused(again), (Code::NotFound, "DKIM_KEY_UNKNOWN".into()));
    assert_eq!(list(&scene, &account).await, []);
    assert_eq!(signatures(&scene).await, 0);
}

#[tokio::test]
async fn keys_that_are_no_good_are_refused_by_field() {
    let (scene, account) = scene().await;
    let outside = scene.home.path("key.pem");
    fs::write(&outside, RSA).unwrap();
    let generate = || Source::Generate(true);
    let pem = |pem: &str| Source::PrivateKey(pem.to_owned());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (key, field, words) in [
        (
            key("mf", pem(include_str!("../keys/rsa-1024.pem"))),
            "key.private_key",
            "2,048",
        ),
        (
            key("mf", pem(include_str!("../keys/p256.pem"))),
            "key.private_key",
            "Ed25519 or RSA",
        ),
        (key("mf", pem("")), "key.private_key", "PEM"),
        (key("mf", pem(encrypted)), "key.private_key", "not encrypted"),
        (key("mf", pem(&"x".repeat(9000))), "key.private_key", "longer"),
        (
            key("mf", Source::File(outside.display().to_string())),
            "key.file",
            "secrets.directories",
        ),
        (
            key(
                "mf",
                Source::File(scene.home.path("secrets/none").display().to_string()),
            ),
            "key.file",
            "cannot be read",
        ),
        (
            key("mf", Source::Environment("PATH".into())),
            "key.environment",
            "MAILFACTOR_SECRET_",
        ),
        (
            pb::DkimKey {
                source: None,
                ..key("mf", generate())
            },
            "key.private_key",
            "required",
        ),
        (key("", generate()), "key.selector", "labels"),
        (key("m\u{e4}", generate()), "key.selector", "labels"),
        (key("a; p=", generate()), "key.selector", "labels"),
        (
            pb::DkimKey {
                domain: "a; s=b".into(),
                ..key("mf", generate())
            },
            "key.domain",
            "",
        ),
        (
            pb::DkimKey {
                etag: "x".into(),
                ..key("mf", generate())
            },
            "key.etag",
            "etag",
        ),
    ] {
        let status = set(&scene, &account, key).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(!format!("{status:?}").contains("BEGIN"), "{status:?}");
        let details = status.get_error_details();
        let faults = &details.bad_request().unwrap().field_violations;
        let told = faults
            .iter()
            .any(|fault| fault.field == field && fault.description.contains(words));
        assert!(told, "{field} {words}: {faults:?}");
    }
    let unknown = set(&scene, "nobody", key("mf", generate())).await;
    assert_eq!(refused(unknown), (Code::NotFound, "ACCOUNT_UNKNOWN".into()));
    for selector in ["a", "b", "c", "d"] {
        set(&scene, &account, key(selector, generate())).await.unwrap();
    }
    let full = set(&scene, &account, key("e", generate())).await;
    assert_eq!(
        refused(full),
        (Code::ResourceExhausted, "TOO_MANY_DKIM_KEYS".into())
    );
    assert_eq!(list(&scene, &account).await.len(), 4);
    assert_eq!(signatures(&scene).await, 4);
}

#[tokio::test]
async fn a_private_key_comes_out_nowhere() {
    let (scene, account) = scene().await;
    set(&scene, &account, key("mf", Source::PrivateKey(RSA.into())))
        .await
        .unwrap();
    let middle: Vec<&str> = RSA.lines().skip(3).take(5).collect();
    let shown = format!("{:?}", list(&scene, &account).await);
    assert!(middle.iter().all(|line| !shown.contains(line)));
    let directory = scene.home.path("");
    scene.service.stop().await;
    assert_eq!(find_in_files(&directory, &middle), None);
}

#[tokio::test]
async fn a_mail_whose_key_cannot_be_had_waits_and_says_why() {
    let (scene, account) = scene().await;
    let file = scene.home.path("secrets/dkim.pem");
    fs::write(&file, RSA).unwrap();
    let saved = set(
        &scene,
        &account,
        key("mf", Source::File(file.display().to_string())),
    )
    .await
    .unwrap();
    assert_eq!(saved.source, Some(Source::File(file.display().to_string())));
    fs::remove_file(&file).unwrap();
    let challenge = scene.idp.start("bo").await.unwrap();
    scene
        .idp
        .wait_until(&challenge.challenge_id, pb::DeliveryState::Deferred)
        .await;
    let entries = scene
        .admin
        .outbox
        .clone()
        .list_entries(pb::ListEntriesRequest::default())
        .await;
    let entry = entries.unwrap().into_inner().entries.remove(0);
    assert!(
        entry.last_error.contains("the DKIM key mf cannot be used"),
        "{entry:?}"
    );
    fs::write(&file, RSA).unwrap();
    scene.clock.advance(std::time::Duration::from_secs(30));
    let mail = scene.mails(1).await.remove(0);
    assert_eq!(mail.data.matches("DKIM-Signature:").count(), 1);
}

#[tokio::test]
async fn the_command_line_makes_shows_and_removes_keys() {
    let (scene, account) = scene().await;
    let key = scene
        .home
        .caller("operator", mailfactor::domain::caller::Role::Admin)
        .await;
    let server = format!("http://{}", scene.service.grpc);
    let variables = [
        ("MAILFACTOR_SERVER", server.as_str()),
        ("MAILFACTOR_API_KEY", key.as_str()),
    ];
    let run = |line: String| async move { mailfactor(&line, &variables, "").await };
    let made = run(format!("account dkim set {account} mf1 --generate"))
        .await
        .done();
    let record = "mf1._domainkey.example.org. IN TXT ( \"v=DKIM1; k=ed25519; p=";
    assert!(
        made.contains(record) && made.contains("signs        no"),
        "{made}"
    );
    let pem = scene.home.path("rsa.pem");
    fs::write(&pem, RSA).unwrap();
    let pem = pem.display();
    let other = run(format!(
        "account dkim set {account} mf2 --key-file {pem} --enabled true --json"
    ))
    .await
    .json();
    assert_eq!(
        (&other["algorithm"], &other["enabled"]),
        (&"rsa-sha256".into(), &true.into())
    );
    run(format!("account dkim set {account} mf1 --enabled true"))
        .await
        .done();
    let shown = run(format!("account show {account}")).await.done();
    assert!(
        shown.contains("mf1._domainkey.example.org (ed25519-sha256, signs)"),
        "{shown}"
    );
    let shown = run(format!("account show {account} --json")).await.json();
    assert_eq!(shown["dkim"][1]["record"], other["record"]);
    let listed = run(format!("account dkim list {account}")).await.done();
    assert!(
        listed.contains("\" \"") && listed.lines().all(|line| !line.contains("PRIVATE")),
        "{listed}"
    );
    run(format!("account dkim remove {account} mf1")).await.done();
    let again = run(format!("account dkim remove {account} mf1")).await.failed(1);
    assert!(
        again.contains("DKIM_KEY_UNKNOWN") && again.contains("account dkim list"),
        "{again}"
    );
}

#[tokio::test]
async fn a_key_is_sealed_anew_and_still_signs() {
    let (scene, account) = scene().await;
    set(&scene, &account, key("mf", Source::Generate(true)))
        .await
        .unwrap();
    let config = scene.home.write();
    let rotated = mailfactor(
        &format!("--config {} keys rotate --json", config.display()),
        &[],
        "",
    )
    .await;
    let rotated = rotated.json();
    assert!(
        rotated["resealed"].as_u64().is_some_and(|count| count > 0),
        "{rotated}"
    );
    assert_eq!(signatures(&scene).await, 1);
}
