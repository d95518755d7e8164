//! Access: which role may call what, and which key is nobody's.

use std::time::Duration;

use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};
use tonic::{Code, Status, transport::Channel};

use super::harness::{
    client::channel,
    in_time,
    raw::{begin, call, methods},
    scene::{Scene, refused, start, waiting},
    service::Home,
};

#[tokio::test]
async fn every_role_may_call_what_the_protocol_says_and_nothing_else() {
    let home = Home::new();
    let service = home.serve(Machine::real()).await;
    let channel = channel(service.grpc).await.unwrap();
    let methods = methods();
    let mut refusals = 0;
    for role in Role::ALL {
        let key = format!("Bearer {}", home.caller(role.name(), role).await);
        for method in &methods {
            // Empty messages: where one is let in, it is told what is missing, and nothing is done.
            let answer = if method.streams {
                begin(&channel, Some(&key), &method.path, Vec::new()).await
            } else {
                call(&channel, Some(&key), &method.path, Vec::new()).await
            };
            let code = answer.as_ref().err().map_or(Code::Ok, Status::code);
            if method.roles.contains(&role) {
                assert!(
                    matches!(code, Code::Ok | Code::InvalidArgument),
                    "{role:?} {}: {answer:?}",
                    method.path
                );
            } else {
                refusals += 1;
                assert_eq!(
                    refused(answer),
                    (Code::PermissionDenied, "ROLE_MISSING".to_owned()),
                    "{role:?} {}",
                    method.path
                );
            }
        }
    }
    let allowed: usize = methods.iter().map(|method| method.roles.len()).sum();
    assert_eq!(refusals, methods.len() * Role::ALL.len() - allowed);
    assert!(refusals > methods.len(), "most methods are for few roles");
    service.stop().await;
}

async fn list(channel: &Channel, authorization: Option<&str>) -> Result<Vec<u8>, Status> {
    call(
        channel,
        authorization,
        "/mailfactor.v1.MailOutbox/ListEntries",
        Vec::new(),
    )
    .await
}

#[tokio::test]
async fn whoever_is_not_known_gets_one_answer() {
    let home = Home::new();
    let service = home.serve(Machine::real()).await;
    let channel = channel(service.grpc).await.unwrap();
    let good = home.caller("ops", Role::Admin).await;
    let other = home.caller("other", Role::Admin).await;
    let (id, secret) = good.strip_prefix("mf_").unwrap().split_once('_').unwrap();
    let other_id = other.strip_prefix("mf_").unwrap().split_once('_').unwrap().0;
    let wrong_end = if secret.ends_with('A') { 'E' } else { 'A' };
    let bad = [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Bearer nonsense".to_owned()),
        Some(good.clone()),
        Some(format!("Basic {good}")),
        Some(format!("Bearer mf_{id}_")),
        Some(format!("Bearer mf_{id}_{}", "A".repeat(43))),
        Some(format!("Bearer mf_{id}_{}{wrong_end}", &secret[..42])),
        // The secret of one with the name of another, and a name that nobody has.
        Some(format!("Bearer mf_{other_id}_{secret}")),
        Some(format!("Bearer mf_{}_{secret}", "A".repeat(id.len()))),
        Some(format!("Bearer {good}x")),
        Some(format!("Bearer {good} {good}")),
    ];
    let mut answers = Vec::new();
    for authorization in &bad {
        let status = list(&channel, authorization.as_deref()).await.unwrap_err();
        answers.push((status.message().to_owned(), status.details().to_vec()));
        assert_eq!(
            refused::<()>(Err(status)),
            (Code::Unauthenticated, "CALLER_UNKNOWN".to_owned()),
            "{authorization:?}"
        );
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // Before anything else is looked at, whatever is asked.
    for method in methods() {
        let answer = call(&channel, None, &method.path, b"\xff\xff".to_vec()).await;
        assert_eq!(
            refused(answer),
            (Code::Unauthenticated, "CALLER_UNKNOWN".to_owned())
        );
    }
    assert!(list(&channel, Some(&format!("Bearer {good}"))).await.is_ok());
    assert!(list(&channel, Some(&format!("bearer  {good}"))).await.is_ok());
    service.stop().await;
}

/// Asks until the answer is this one, for as long as callers may be remembered and some.
async fn soon(channel: &Channel, key: &str, known: bool) {
    let began = tokio::time::Instant::now();
    let authorization = format!("Bearer {key}");
    loop {
        let answer = list(channel, Some(&authorization)).await;
        if answer.is_ok() == known {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "known after all this time: {}",
            answer.is_ok()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn two_keys_live_at_once_and_a_removed_caller_is_out_within_seconds() {
    let home = Home::new();
    let service = home.serve(Machine::real()).await;
    let channel = channel(service.grpc).await.unwrap();
    let first = home.caller("ops", Role::Admin).await;
    let authorization = format!("Bearer {first}");
    list(&channel, Some(&authorization)).await.unwrap();
    let second = home.rotate_caller("ops").await;
    soon(&channel, &second, true).await;
    soon(&channel, &first, true).await;
    let third = home.rotate_caller("ops").await;
    soon(&channel, &third, true).await;
    soon(&channel, &second, true).await;
    soon(&channel, &first, false).await;
    home.remove_caller("ops").await;
    soon(&channel, &third, false).await;
    soon(&channel, &second, false).await;
    assert_eq!(
        refused(list(&channel, Some(&format!("Bearer {third}"))).await),
        (Code::Unauthenticated, "CALLER_UNKNOWN".to_owned())
    );
    service.stop().await;
}

#[tokio::test]
async fn a_caller_of_the_same_name_does_not_inherit_challenges() {
    let scene = Scene::set().await;
    let before = scene.caller("portal", Role::Authenticator).await;
    let challenge = start(&before, waiting("ann")).await.unwrap();
    scene.home.remove_caller("portal").await;
    let after = scene.caller("portal", Role::Authenticator).await;
    assert_eq!(
        refused(after.get(&challenge.challenge_id).await),
        (Code::NotFound, "CHALLENGE_UNKNOWN".to_owned())
    );
    let gone = in_time(async {
        loop {
            if let Err(status) = before.get(&challenge.challenge_id).await {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert_eq!(
        refused::<pb::Challenge>(Err(gone.await)),
        (Code::Unauthenticated, "CALLER_UNKNOWN".to_owned())
    );
    scene.end().await;
}
