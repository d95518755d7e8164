//! Names (promise R16): however a name is written, whoever has it and whatever others do, a caller that may not see users learns
//! nothing but what it did itself.

use mailfactor::{
    app::Machine,
    app::local::{Local, UserKey},
    config::Config,
    domain::caller::Role,
    pb::v1 as pb,
};
use toml::{Table, Value};
use tonic::{Code, Status};

use super::harness::{
    client::Client,
    ground::reason,
    letter,
    scene::{Scene, refused, waiting},
    service::Home,
};
use crate::password::{RIGHT, hashes};

/// A home whose users are looked up as `CORP\ann`, `ann@corp.example.com` and `ann`: some have aliases, two share a mailbox.
fn home() -> Home {
    let mut home = Home::new();
    let repository = Table::from_iter([
        ("name".to_owned(), Value::from("staff")),
        ("kind".to_owned(), "file".into()),
        (
            "path".to_owned(),
            home.path("users.toml").display().to_string().into(),
        ),
        (
            "domains".to_owned(),
            vec![Value::from("CORP"), Value::from("corp.example.com")].into(),
        ),
        ("strip_domain".to_owned(), true.into()),
    ]);
    home.set("repository", vec![Value::Table(repository)]);
    home.users_text(
        "[[user]]\nname = 'ann'\naliases = ['ann.example', 'a.e']\nemail = 'ann@example.com'\n\
         [[user]]\nname = 'bo'\nemail = 'team@example.com'\n\
         [[user]]\nname = 'cy'\nemail = 'Team@Example.com'\n",
    );
    home
}

async fn scene() -> (Scene, Client) {
    let scene = Scene::at(home()).await;
    let laptop = scene.caller("laptop", Role::Endpoint).await;
    (scene, laptop)
}

/// What a start answers: the recipient that is shown, or the reason of the refusal.
fn told(answer: Result<pb::Challenge, Status>) -> String {
    answer.map_or_else(|status| reason(&status).1, |challenge| challenge.masked_recipient)
}

async fn starts(client: &Client, names: &[&str]) -> Vec<String> {
    let mut answers = Vec::new();
    for name in names {
        answers.push(told(client.start(name).await));
    }
    answers
}

/// Enough wrong codes for a name to lock it; says what each came to.
async fn guess_ten_times(client: &Client, names: [&str; 2]) -> Vec<pb::VerifyResult> {
    let mut verdicts = Vec::new();
    for name in names {
        let challenge = client.start(name).await.unwrap().challenge_id;
        for _ in 0..5 {
            verdicts.push(client.verify(&challenge, "000000").await.unwrap().result());
        }
    }
    verdicts
}

#[tokio::test]
async fn spellings_of_one_name_share_what_it_may_have() {
    let (scene, laptop) = scene().await;
    for (name, domain, upn) in [
        ("ann", "CORP\\ANN", "Ann@CORP.example.com"),
        ("nobody", "CORP\\NOBODY", "Nobody@CORP.example.com"),
    ] {
        let spaced = format!("  {name} ");
        let answers = starts(&laptop, &[name, &spaced, domain, upn, name, domain]).await;
        let (few, more) = answers.split_at(3);
        assert_eq!(few, ["*****@*****"; 3], "{name}");
        assert_eq!(more, ["SEND_BUDGET_SPENT"; 3], "{name}");
    }
    scene.mails(3).await;
    scene.end().await;
}

#[tokio::test]
async fn other_names_of_a_user_and_others_at_the_mailbox_show_nothing() {
    let (scene, laptop) = scene().await;
    // `bo` and `cy` have one mailbox, which has had its three mails with the first of them.
    for names in [
        ["ann", "ann.example", "a.e", "bo", "cy"],
        ["v", "w", "x", "y", "z"],
    ] {
        for name in names {
            let answers = starts(&laptop, &[name; 4]).await;
            let (few, more) = answers.split_at(3);
            assert_eq!(few, ["*****@*****"; 3], "{name}");
            assert_eq!(more, ["SEND_BUDGET_SPENT"], "{name}");
        }
    }
    let mails = scene.mails(6).await;
    assert_eq!(mails.len(), 6, "no user and no mailbox gets more than it may");
    scene.end().await;
}

#[tokio::test]
async fn what_others_do_about_a_user_shows_nothing_and_holds() {
    let (scene, laptop) = scene().await;
    let open = laptop.start("ann").await.unwrap().challenge_id;
    let code = letter::newest_to(&scene.smtp, "ann@example.com").await;
    // Somebody who sees users has her mailed and locked.
    guess_ten_times(&scene.idp, ["ann", "ann"]).await;
    let (status, told_idp) = refused(scene.idp.start("ann").await);
    assert_eq!(
        (status, told_idp.as_str()),
        (Code::ResourceExhausted, "USER_LOCKED")
    );
    let mailed = scene.mails(3).await.len();
    let verdict = laptop.verify(&open, &code).await.unwrap();
    assert_eq!(
        verdict.result(),
        pb::VerifyResult::WrongCode,
        "the code is right, and the user locked"
    );
    assert_eq!(verdict.attempts_left, 4);
    let of_nobody = laptop.start("nobody").await.unwrap().challenge_id;
    assert_eq!(laptop.verify(&of_nobody, &code).await.unwrap(), verdict);
    for name in ["ann", "nobody"] {
        let answers = starts(&laptop, &[name; 3]).await;
        assert_eq!(
            answers,
            ["*****@*****", "*****@*****", "SEND_BUDGET_SPENT"],
            "{name}"
        );
    }
    assert_eq!(scene.smtp.mails().len(), mailed, "no mail to a locked user");
    scene.end().await;
}

#[tokio::test]
async fn a_lock_is_the_names_whoever_has_it_and_an_administrator_lifts_it() {
    let (scene, laptop) = scene().await;
    let wrong = [pb::VerifyResult::WrongCode; 10];
    for names in [["ann", "CORP\\ann"], ["nobody", "CORP\\nobody"]] {
        assert_eq!(guess_ten_times(&laptop, names).await, wrong);
        for name in names {
            assert_eq!(told(laptop.start(name).await), "USER_LOCKED", "{name}");
        }
    }
    // By another name of hers she is not locked as far as is told, no more than another invented one.
    for name in ["ann.example", "somebody"] {
        assert_eq!(told(laptop.start(name).await), "*****@*****");
    }
    let config = Config::load(Some(&scene.home.path("mailfactor.toml")), []).unwrap();
    let local = Local::open(&config, &Machine::real()).await.unwrap();
    assert!(local.unlock_user(UserKey::Name(None, "corp\\Ann")).await.unwrap());
    assert!(!local.unlock_user(UserKey::Name(None, "ann")).await.unwrap());
    local.close().await;
    assert_eq!(told(laptop.start("ann").await), "*****@*****");
    assert_eq!(told(laptop.start("nobody").await), "USER_LOCKED");
    scene.end().await;
}

#[tokio::test]
async fn the_recipient_that_is_shown_is_a_function_of_the_name_alone() {
    let names = [
        "ann",
        "nobody",
        "CORP\\cy",
        "ann@corp.example.com",
        "ghost@corp.example.com",
        "7",
        "ünal",
    ];
    for (domains, shown) in [
        (Vec::new(), "*****@*****"),
        (vec![Value::from("firm.example")], "*****@f*****.example"),
    ] {
        let home = home()
            .with("enumeration.decoy_domains", domains)
            .with("policy.sends.user.burst", 100)
            .with("policy.sends.address.burst", 100);
        let scene = Scene::at(home).await;
        let laptop = scene.caller("laptop", Role::Endpoint).await;
        for round in 0..2 {
            for name in names {
                let challenge = laptop.start(name).await.unwrap();
                assert_eq!(challenge.masked_recipient, shown, "{name}");
                let same = laptop.get(&challenge.challenge_id).await.unwrap();
                assert_eq!(same.masked_recipient, shown, "{name}");
            }
            // Whatever administrators do changes nothing.
            if round == 0 {
                let account = pb::Account {
                    name: "another".to_owned(),
                    enabled: true,
                    host: scene.smtp.address.ip().to_string(),
                    port: i32::from(scene.smtp.address.port()),
                    security: pb::ConnectionSecurity::None.into(),
                    sender: "codes@another.example".to_owned(),
                    ..pb::Account::default()
                };
                scene.admin.create_account(account).await;
            }
        }
        // Whoever may know is told, and reports show to whom mails went.
        let known = scene.idp.start("cy").await.unwrap();
        assert_eq!(known.masked_recipient, "T*****@e*****.com");
        let mut outbox = scene.admin.outbox.clone();
        let entries = outbox.list_entries(pb::ListEntriesRequest::default());
        let entries = entries.await.unwrap().into_inner().entries;
        assert!(!entries.is_empty());
        assert!(
            entries
                .iter()
                .all(|entry| entry.masked_recipient.ends_with("@e*****.com"))
        );
        scene.end().await;
    }
}

#[tokio::test]
async fn the_truth_comes_with_the_right_password_and_only_then() {
    let scene = Scene::at(hashes(&[("ann", crate::password::BCRYPT)]).await).await;
    let laptop = scene.caller("laptop", Role::Endpoint).await;
    let proved = laptop.start_with("ann", RIGHT).await.unwrap();
    assert_eq!(proved.masked_recipient, "a*****@e*****.com");
    for name in ["ann", "nobody"] {
        assert_eq!(told(laptop.start(name).await), "*****@*****");
        assert_eq!(told(laptop.start_with(name, "wrong").await), "WRONG_PASSWORD");
    }
    // Somebody else locks her passwords: to this caller even the right one is wrong, as any is of nobody.
    for _ in 0..9 {
        assert_eq!(told(scene.idp.start_with("ann", "wrong").await), "WRONG_PASSWORD");
    }
    assert_eq!(told(scene.idp.start_with("ann", RIGHT).await), "USER_LOCKED");
    for name in ["ann", "nobody"] {
        for _ in 0..9 {
            assert_eq!(
                told(laptop.start_with(name, RIGHT).await),
                "WRONG_PASSWORD",
                "{name}"
            );
        }
        assert_eq!(
            told(laptop.start_with(name, RIGHT).await),
            "USER_LOCKED",
            "{name}"
        );
    }
    // A start that waits for the mail server tells nothing new to whoever may not: it is refused before anybody is looked up.
    let (code, _) = refused(super::harness::scene::start(&laptop, waiting("ann")).await);
    assert_eq!(code, Code::PermissionDenied);
    scene.end().await;
}
