//! Start: what is answered, what is mailed, and that a repeated request is one request.

use mailfactor::{
    domain::caller::Role,
    pb::v1::{self as pb, ChallengeState, DeliveryState, Purpose},
};
use toml::{Table, Value};
use tonic::Code;

use super::harness::{
    letter,
    scene::{Scene, header, html, refused, seconds_after, start, text, waiting},
    service::Home,
    smtp::{Act, At},
};

#[tokio::test]
async fn every_field_of_the_answer_is_filled() {
    let scene = Scene::set().await;
    let request = pb::StartChallengeRequest {
        repository: "staff".to_owned(),
        event: "vpn".to_owned(),
        endpoint: "laptop-7".to_owned(),
        ..waiting("ann")
    };
    let challenge = start(&scene.idp, request).await.unwrap();
    assert_eq!(challenge.challenge_id.len(), 22);
    assert_eq!(challenge.purpose(), Purpose::Login);
    assert_eq!(challenge.state(), ChallengeState::Pending);
    assert_eq!(challenge.masked_recipient, "a*****@e*****.com");
    assert_eq!(challenge.code_number, 1);
    assert_eq!(challenge.code_length, 6);
    assert_eq!(challenge.code_alphabet, "0123456789");
    assert_eq!(challenge.created_at.unwrap().seconds, 1_767_323_045);
    assert_eq!(seconds_after(challenge.created_at, challenge.expires_at), 300);
    assert_eq!(seconds_after(challenge.created_at, challenge.resend_at), 30);
    assert_eq!(challenge.attempts_left, 5);
    assert_eq!(challenge.verified_at, None);
    assert_eq!(challenge.delivery(), DeliveryState::Sent);
    assert_eq!(challenge.event, "vpn");
    assert_eq!(challenge.endpoint, "laptop-7");

    let mails = scene.mails(1).await;
    assert_eq!(letter::recipient(&mails[0]), "ann@example.com");
    assert!(mails[0].sender.starts_with("<login@example.org>"));
    let verdict = scene
        .idp
        .verify(&challenge.challenge_id, &letter::code(&mails[0].data))
        .await
        .unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    assert_eq!(verdict.attempts_left, 5);
    assert_eq!(verdict.verified_at.unwrap().seconds, 1_767_323_045);
    assert_eq!(verdict.locked_until, None);
    scene.end().await;
}

#[tokio::test]
async fn each_purpose_has_its_lifetime_its_mail_and_is_kept() {
    let scene = Scene::set().await;
    let cases = [
        (Purpose::Unspecified, Purpose::Login, 300, "Your sign-in code"),
        (
            Purpose::AddressConfirmation,
            Purpose::AddressConfirmation,
            3_600,
            "",
        ),
        (Purpose::Recovery, Purpose::Recovery, 3_600, ""),
    ];
    let mut subjects = Vec::new();
    for (number, (asked, told, lifetime, subject)) in (1..).zip(cases) {
        let request = pb::StartChallengeRequest {
            purpose: asked.into(),
            ..waiting("ann")
        };
        let challenge = start(&scene.idp, request).await.unwrap();
        assert_eq!(challenge.purpose(), told);
        assert_eq!(
            seconds_after(challenge.created_at, challenge.expires_at),
            lifetime
        );
        assert_eq!(
            scene.idp.get(&challenge.challenge_id).await.unwrap().purpose(),
            told
        );
        let mails = scene.mails(number).await;
        let told_subject = header(&mails[number - 1], "Subject").unwrap();
        assert!(told_subject.contains(subject), "{told_subject}");
        subjects.push(told_subject);
    }
    subjects.dedup();
    assert_eq!(subjects.len(), 3, "{subjects:?}");
    scene.end().await;
}

#[tokio::test]
async fn the_lifetime_of_a_purpose_is_kept_to_the_second() {
    let scene = Scene::set().await;
    let login = scene.idp.start("ann").await.unwrap();
    let recovery = pb::StartChallengeRequest {
        purpose: Purpose::Recovery.into(),
        ..waiting("bo")
    };
    let recovery = start(&scene.idp, recovery).await.unwrap();
    let mails = scene.mails(2).await;
    let sent_to = |address: &str| {
        let mail = mails.iter().find(|mail| letter::recipient(mail) == address);
        letter::otp(mail.unwrap())
    };
    scene.clock.advance(std::time::Duration::from_secs(300));
    let verdict = scene
        .idp
        .verify(&login.challenge_id, &sent_to("ann@example.com"))
        .await
        .unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Expired);
    assert_eq!(
        scene.idp.get(&login.challenge_id).await.unwrap().state(),
        ChallengeState::Expired
    );
    scene
        .clock
        .advance(std::time::Duration::from_secs(3_300) - std::time::Duration::from_millis(1));
    let verdict = scene
        .idp
        .verify(&recovery.challenge_id, &sent_to("bo@example.com"))
        .await
        .unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    scene.end().await;
}

#[tokio::test]
async fn an_event_has_codes_and_limits_of_its_own() {
    let home = Home::new()
        .with("events.payroll.code.length", 8)
        .with("events.payroll.code.alphabet", "letters")
        .with("events.payroll.attempts", 2)
        .with("events.payroll.lifetime.login", "60s")
        .with("events.payroll.resend.after", "10s");
    home.users(&[("ann", "ann@example.com")]);
    let scene = Scene::at(home).await;
    let request = pb::StartChallengeRequest {
        event: "payroll".to_owned(),
        ..waiting("ann")
    };
    let challenge = start(&scene.idp, request).await.unwrap();
    assert_eq!((challenge.code_length, challenge.attempts_left), (8, 2));
    assert_eq!(challenge.code_alphabet, "BCDFGHJKLMNPQRSTVWXZ");
    assert_eq!(seconds_after(challenge.created_at, challenge.expires_at), 60);
    assert_eq!(seconds_after(challenge.created_at, challenge.resend_at), 10);

    let text = text(&scene.mails(1).await[0]);
    let code = text
        .lines()
        .map(|line| line.replace([' ', '-'], ""))
        .find(|line| line.len() == 8 && line.chars().all(|one| challenge.code_alphabet.contains(one)))
        .unwrap_or_else(|| panic!("no code in:\n{text}"));
    // A text that cannot be a code of this challenge costs nothing.
    for other in ["123456", "AAAAAAAA", "BCDFGHJ"] {
        assert_eq!(
            refused(scene.idp.verify(&challenge.challenge_id, other).await),
            (Code::InvalidArgument, "INVALID_FIELD".to_owned())
        );
    }
    // As people type: small letters, in groups.
    let typed = format!(" {}-{} ", &code[..4].to_lowercase(), &code[4..]);
    let verdict = scene.idp.verify(&challenge.challenge_id, &typed).await.unwrap();
    assert_eq!(
        (verdict.result(), verdict.attempts_left),
        (pb::VerifyResult::Verified, 2)
    );
    // Another event has the usual codes.
    let usual = pb::StartChallengeRequest {
        event: "vpn".to_owned(),
        ..waiting("ann")
    };
    assert_eq!(start(&scene.idp, usual).await.unwrap().code_length, 6);
    scene.end().await;
}

#[tokio::test]
async fn the_users_language_decides_and_the_callers_word_goes_over_it() {
    let home = Home::new();
    home.users_text(
        "[[user]]\nname = 'ann'\nemail = 'ann@example.com'\nlocale = 'de-CH'\n\
         [[user]]\nname = 'bo'\nemail = 'bo@example.com'\n",
    );
    let scene = Scene::at(home).await;
    let cases = [
        ("ann", "", "de", "Ihr Anmeldecode"),
        ("ann", "en-GB", "en", "Your sign-in code"),
        ("bo", "", "en", "Your sign-in code"),
        ("bo", "de", "de", "Ihr Anmeldecode"),
        // Nobody wrote a mail in Klingon: the default.
        ("bo", "tlh", "en", "Your sign-in code"),
    ];
    for (number, (user, locale, language, subject)) in (1..).zip(cases) {
        let request = pb::StartChallengeRequest {
            locale: locale.to_owned(),
            ..waiting(user)
        };
        start(&scene.idp, request).await.unwrap();
        let mail = &scene.mails(number).await[number - 1];
        assert_eq!(
            header(mail, "Content-Language").as_deref(),
            Some(language),
            "{user} {locale}"
        );
        assert!(header(mail, "Subject").unwrap().contains(subject));
        let greeting = if language == "de" { "Guten Tag" } else { "Hello" };
        assert!(text(mail).contains(greeting) && html(mail).contains(greeting));
    }
    scene.end().await;
}

#[tokio::test]
async fn where_the_request_comes_from_stands_in_the_mail_and_is_no_markup() {
    let scene = Scene::set().await;
    let request = pb::StartChallengeRequest {
        event: "vpn.office".to_owned(),
        endpoint: "<b>laptop</b> & \"co\" {{ code }}".to_owned(),
        client_ip: "::ffff:192.0.2.7".to_owned(),
        ..waiting("ann")
    };
    let challenge = start(&scene.idp, request).await.unwrap();
    assert_eq!(challenge.endpoint, "<b>laptop</b> & \"co\" {{ code }}");
    let mail = &scene.mails(1).await[0];
    let (text, html) = (text(mail), html(mail));
    for part in ["vpn office", "b laptop b & co code", "192.0.2.7"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("::ffff"), "{text}");
    for part in ["vpn office", "b laptop b &amp; co code", "192.0.2.7"] {
        assert!(html.contains(part), "{part} is not in:\n{html}");
    }
    assert!(!html.contains("<b>laptop"), "{html}");
    scene.end().await;
}

#[tokio::test]
async fn waiting_tells_what_the_mail_server_said() {
    let scene = Scene::set().await;
    scene.smtp.times(1, At::Rcpt, Act::Reply("450 4.2.1 try later"));
    let put_off = start(&scene.idp, waiting("ann")).await.unwrap();
    assert_eq!(put_off.delivery(), DeliveryState::Deferred);
    scene.smtp.on(At::Rcpt, Act::Reply("550 5.1.1 nobody here"));
    let failed = start(&scene.idp, waiting("bo")).await.unwrap();
    assert_eq!(failed.delivery(), DeliveryState::Failed);
    // A caller that may not see users may not wait for their mail.
    let laptops = scene.caller("laptops", Role::Endpoint).await;
    assert_eq!(
        refused(start(&laptops, waiting("cy")).await),
        (Code::PermissionDenied, "WAIT_NOT_ALLOWED".to_owned())
    );
    let quiet = laptops.start("cy").await.unwrap();
    assert_eq!(quiet.delivery(), DeliveryState::Withheld);
    scene.end().await;
}

#[tokio::test]
async fn who_may_know_is_told_what_is_wrong_with_a_user() {
    let home = Home::new();
    home.users_text(
        "[[user]]\nname = 'silent'\n\
         [[user]]\nname = 'twin'\nemail = 'one@example.com'\n\
         [[user]]\nname = 'twin'\nemail = 'two@example.com'\n",
    );
    let scene = Scene::at(home).await;
    let cases = [
        ("nobody", "", Code::NotFound, "USER_UNKNOWN"),
        ("silent", "", Code::FailedPrecondition, "USER_HAS_NO_ADDRESS"),
        ("twin", "", Code::FailedPrecondition, "USER_AMBIGUOUS"),
        ("silent", "elsewhere", Code::InvalidArgument, "INVALID_FIELD"),
    ];
    for (user, repository, code, reason) in cases {
        let request = pb::StartChallengeRequest {
            user: user.to_owned(),
            repository: repository.to_owned(),
            ..pb::StartChallengeRequest::default()
        };
        assert_eq!(
            refused(start(&scene.idp, request).await),
            (code, reason.to_owned()),
            "{user}"
        );
    }
    scene.end().await;
}

fn repeated(user: &str, id: &str) -> pb::StartChallengeRequest {
    pb::StartChallengeRequest {
        user: user.to_owned(),
        request_id: id.to_owned(),
        ..pb::StartChallengeRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_equal_requests_at_once_are_one_challenge_and_one_mail() {
    let scene = Scene::set().await;
    let calls = (0..16).map(|_| start(&scene.idp, repeated("ann", "login-1")));
    let answers = futures_util::future::join_all(calls).await;
    let mut ids: Vec<String> = answers
        .into_iter()
        .map(|answer| answer.unwrap().challenge_id)
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    // A mail to somebody else comes after all of ann's: had there been more, they would be here.
    start(&scene.idp, waiting("bo")).await.unwrap();
    scene.idp.wait_until(&ids[0], DeliveryState::Sent).await;
    let entries = pb::ListEntriesRequest::default();
    let entries = scene.admin.outbox.clone().list_entries(entries).await.unwrap();
    assert_eq!(entries.into_inner().entries.len(), 2);
    let mails = scene.mails(2).await;
    let to_ann = mails
        .iter()
        .filter(|mail| letter::recipient(mail) == "ann@example.com");
    assert_eq!(to_ann.count(), 1);
    // Repeated after the end it is still the same challenge, as it stands.
    let code = letter::codes(&mails)["ann@example.com"].clone();
    scene.idp.verify(&ids[0], &code).await.unwrap();
    let again = start(&scene.idp, repeated("ann", "login-1")).await.unwrap();
    assert_eq!(
        (again.challenge_id.as_str(), again.state()),
        (ids[0].as_str(), ChallengeState::Verified)
    );
    // It cost one mail of ann's three.
    for number in 2..=3 {
        start(&scene.idp, repeated("ann", &format!("login-{number}")))
            .await
            .unwrap();
    }
    assert_eq!(
        refused(start(&scene.idp, repeated("ann", "login-4")).await),
        (Code::ResourceExhausted, "SEND_BUDGET_SPENT".to_owned())
    );
    scene.end().await;
}

#[tokio::test]
async fn a_request_id_stands_for_all_that_was_asked() {
    let scene = Scene::set().await;
    let first = start(&scene.idp, repeated("ann", "r")).await.unwrap();
    let same = || repeated("ann", "r");
    let others = [
        repeated("bo", "r"),
        pb::StartChallengeRequest {
            repository: "staff".to_owned(),
            ..same()
        },
        pb::StartChallengeRequest {
            purpose: Purpose::Recovery.into(),
            ..same()
        },
        pb::StartChallengeRequest {
            event: "vpn".to_owned(),
            ..same()
        },
        pb::StartChallengeRequest {
            endpoint: "x".to_owned(),
            ..same()
        },
        pb::StartChallengeRequest {
            locale: "de".to_owned(),
            ..same()
        },
        pb::StartChallengeRequest {
            client_ip: "192.0.2.1".to_owned(),
            ..same()
        },
        pb::StartChallengeRequest {
            wait_for_mail_server: true,
            ..same()
        },
    ];
    for other in others {
        assert_eq!(
            refused(start(&scene.idp, other.clone()).await),
            (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned()),
            "{other:?}"
        );
    }
    // The ids of two callers are apart.
    let portal = scene.caller("portal", Role::Authenticator).await;
    let theirs = start(&portal, repeated("bo", "r")).await.unwrap();
    assert_ne!(theirs.challenge_id, first.challenge_id);
    // An unspecified purpose is that of a login: the same request.
    let spelled_out = pb::StartChallengeRequest {
        purpose: Purpose::Login.into(),
        ..same()
    };
    assert_eq!(
        start(&scene.idp, spelled_out).await.unwrap().challenge_id,
        first.challenge_id
    );
    scene.end().await;
}

#[tokio::test]
async fn several_repositories_are_searched_in_order_or_named() {
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    std::fs::write(
        home.path("guests.toml"),
        "[[user]]\nname = 'ann'\nemail = 'guest.ann@example.net'\n",
    )
    .unwrap();
    let repository = |name: &str, file: &str| {
        Value::Table(Table::from_iter([
            ("name".to_owned(), Value::from(name)),
            ("kind".to_owned(), Value::from("file")),
            (
                "path".to_owned(),
                Value::from(home.path(file).display().to_string()),
            ),
        ]))
    };
    let both = vec![
        repository("staff", "users.toml"),
        repository("guests", "guests.toml"),
    ];
    let scene = Scene::at(home.with("repository", both)).await;
    for (number, (named, address)) in
        (1..).zip([("guests", "guest.ann@example.net"), ("", "ann@example.com")])
    {
        let request = pb::StartChallengeRequest {
            repository: named.to_owned(),
            ..waiting("ann")
        };
        start(&scene.idp, request).await.unwrap();
        let mails = scene.mails(number).await;
        assert_eq!(letter::recipient(&mails[number - 1]), address);
    }
    scene.end().await;
}
