//! The story: one login from the mail account to the replay, each step checked while it is told.

use std::{net::SocketAddr, time::Duration};

use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{
    Stage,
    catcher::Caught,
    reading,
    telling::{bad, call, good, note, show_mail, step},
};
use crate::{
    cli::{
        Failure, Outcome,
        out::{self, Style, styled},
        show,
    },
    pb::v1::{self as pb, VerifyResult},
};

/// How long a mail may take from one end of this process to the other.
const MAIL: Duration = Duration::from_secs(10);

/// Tells it.
pub(super) async fn tell(stage: &mut Stage, mail_server: SocketAddr) -> Outcome {
    set_up_account(stage, mail_server).await?;
    let (challenge, code) = start(stage).await?;
    wrong_code(stage, &challenge, &code).await?;
    right_code(stage, &challenge, &code).await?;
    replay(stage, &challenge, &code).await?;
    too_early(stage).await?;
    unknown_user(stage).await?;
    report(stage).await?;
    out::say("");
    out::say(styled(
        Style::Good,
        "That is all: a challenge, a mail, a code that verified once.",
    ));
    Ok(())
}

async fn set_up_account(stage: &mut Stage, mail_server: SocketAddr) -> Outcome {
    step("An administrator names the mail server, and tests it");
    let account = pb::Account {
        name: "catcher".to_owned(),
        enabled: true,
        host: mail_server.ip().to_string(),
        port: mail_server.port().into(),
        security: pb::ConnectionSecurity::None.into(),
        sender: "login@mailfactor.example".to_owned(),
        display_name: "Example Login".to_owned(),
        ..pb::Account::default()
    };
    let request = pb::CreateAccountRequest {
        account: Some(account),
    };
    let answer = stage.admin.policy.create_account(request).await?.into_inner();
    let account = answer.account.unwrap_or_default();
    call(&format!(
        "CreateAccount({} at {mail_server}, sender {})",
        account.name, account.sender
    ));
    let request = pb::TestConnectionRequest {
        target: Some(pb::test_connection_request::Target::Account(account.name)),
        recipient: String::new(),
    };
    call("TestConnection(catcher)");
    let answer = stage.admin.policy.test_connection(request).await?.into_inner();
    require(answer.succeeded, &answer.summary)?;
    let stages: Vec<_> = answer
        .stages
        .iter()
        .map(|stage| show::word(stage.stage().as_str_name(), "STAGE_"))
        .collect();
    good(&format!("{} ({})", answer.summary, stages.join(", ")));
    Ok(())
}

async fn start(stage: &mut Stage) -> Result<(pb::Challenge, String), Failure> {
    step("Ann logs in to the VPN; its server asks for a second factor");
    let request = pb::StartChallengeRequest {
        user: "ann".to_owned(),
        event: "vpn".to_owned(),
        endpoint: "Ann's laptop".to_owned(),
        client_ip: "192.0.2.7".to_owned(),
        wait_for_mail_server: true,
        ..pb::StartChallengeRequest::default()
    };
    call("StartChallenge(user ann, event vpn, endpoint Ann's laptop)");
    let answer = stage
        .server
        .challenges
        .start_challenge(request)
        .await?
        .into_inner();
    let challenge = answer.challenge.unwrap_or_default();
    require(
        challenge.delivery() == pb::DeliveryState::Sent,
        "the mail was not sent",
    )?;
    good(&format!(
        "code no. {} sent to {}",
        challenge.code_number, challenge.masked_recipient
    ));
    note(&format!(
        "challenge {}, {} characters of {}, valid until {}",
        challenge.challenge_id,
        challenge.code_length,
        challenge.code_alphabet,
        show::time(challenge.expires_at.as_ref()),
    ));
    step("The mail, as it reached Ann's mail server");
    let mail = next_mail(stage).await?;
    require(
        mail.recipients == ["ann.miller@example.com"],
        "the mail went elsewhere",
    )?;
    show_mail(&mail);
    let code = find_code(&mail, &challenge).ok_or_else(|| unexpected("the mail holds no code"))?;
    Ok((challenge, code))
}

async fn wrong_code(stage: &mut Stage, challenge: &pb::Challenge, code: &str) -> Outcome {
    step("Ann mistypes");
    let wrong = mistype(code, &challenge.code_alphabet);
    let answer = verify(stage, challenge, &wrong).await?;
    require(
        answer.result() == VerifyResult::WrongCode,
        "a wrong code was not refused",
    )?;
    bad(&format!(
        "{}, {} attempts left",
        verdict(&answer),
        answer.attempts_left
    ));
    Ok(())
}

async fn right_code(stage: &mut Stage, challenge: &pb::Challenge, code: &str) -> Outcome {
    step("Ann types the code, with a space, as people do");
    let (first, last) = code.split_at(code.len() / 2);
    let answer = verify(stage, challenge, &format!("{first} {last}")).await?;
    require(
        answer.result() == VerifyResult::Verified,
        "the right code was refused",
    )?;
    good(&format!(
        "{} at {}",
        verdict(&answer),
        show::time(answer.verified_at.as_ref())
    ));
    Ok(())
}

async fn replay(stage: &mut Stage, challenge: &pb::Challenge, code: &str) -> Outcome {
    step("Somebody who looked over Ann's shoulder types it again");
    let answer = verify(stage, challenge, code).await?;
    require(
        answer.result() == VerifyResult::AlreadyUsed,
        "a code verified twice",
    )?;
    bad(verdict(&answer));
    Ok(())
}

async fn too_early(stage: &mut Stage) -> Outcome {
    step("Bo wants another code at once");
    let request = pb::StartChallengeRequest {
        user: "bo".to_owned(),
        wait_for_mail_server: true,
        ..pb::StartChallengeRequest::default()
    };
    call("StartChallenge(user bo)");
    let answer = stage
        .server
        .challenges
        .start_challenge(request)
        .await?
        .into_inner();
    let challenge = answer.challenge.unwrap_or_default();
    good(&format!(
        "code no. {} sent to {}",
        challenge.code_number, challenge.masked_recipient
    ));
    let mail = next_mail(stage).await?;
    let subject = reading::headers(&mail.message)
        .into_iter()
        .find(|header| header.starts_with("Subject"));
    note(&format!("in Bo's language: {}", subject.unwrap_or_default()));
    call("ResendCode");
    let request = pb::ResendCodeRequest {
        challenge_id: challenge.challenge_id,
        wait_for_mail_server: false,
    };
    let refused = stage.server.challenges.resend_code(request).await;
    let refused = refused
        .err()
        .ok_or_else(|| unexpected("a code was sent again at once"))?;
    require(reason(&refused) == "RESEND_TOO_EARLY", refused.message())?;
    let delay = refused
        .get_details_retry_info()
        .and_then(|retry| retry.retry_delay);
    bad(&format!(
        "{:?} ({}), try again in {} s: no mailbox is flooded",
        refused.code(),
        reason(&refused),
        delay.unwrap_or_default().as_secs_f32().ceil()
    ));
    Ok(())
}

async fn unknown_user(stage: &mut Stage) -> Outcome {
    step("Somebody tries a name that does not exist");
    let request = || pb::StartChallengeRequest {
        user: "mallory".to_owned(),
        ..pb::StartChallengeRequest::default()
    };
    call("StartChallenge(user mallory), as an authentication server, which may see users");
    let refused = stage.server.challenges.start_challenge(request()).await;
    let refused = refused
        .err()
        .ok_or_else(|| unexpected("an unknown user was found"))?;
    require(refused.code() == Code::NotFound, refused.message())?;
    bad(&format!("{:?} ({})", refused.code(), reason(&refused)));
    call("StartChallenge(user mallory), as a laptop, which may not");
    let answer = stage
        .laptop
        .challenges
        .start_challenge(request())
        .await?
        .into_inner();
    let challenge = answer.challenge.unwrap_or_default();
    note(&format!(
        "code no. {} sent to {}: the answer any name gets; nothing was mailed, and no code verifies",
        challenge.code_number, challenge.masked_recipient
    ));
    require(stage.mails.try_recv().is_err(), "an unknown user was mailed")
}

async fn report(stage: &mut Stage) -> Outcome {
    step("The administrator looks at the outbox");
    call("ListEntries()");
    let answer = stage
        .admin
        .outbox
        .list_entries(pb::ListEntriesRequest::default())
        .await?;
    for entry in answer.into_inner().entries {
        let standing = show::word(entry.state().as_str_name(), "DELIVERY_STATE_");
        note(&format!(
            "{standing}  {}  \"{}\"",
            entry.masked_recipient, entry.subject
        ));
    }
    Ok(())
}

async fn verify(
    stage: &mut Stage,
    challenge: &pb::Challenge,
    code: &str,
) -> Result<pb::VerifyCodeResponse, Failure> {
    call(&format!("VerifyCode({code})"));
    let request = pb::VerifyCodeRequest {
        challenge_id: challenge.challenge_id.clone(),
        code: code.to_owned(),
        ..pb::VerifyCodeRequest::default()
    };
    Ok(stage.server.challenges.verify_code(request).await?.into_inner())
}

async fn next_mail(stage: &mut Stage) -> Result<Caught, Failure> {
    let mail = timeout(MAIL, stage.mails.recv()).await;
    mail.ok().flatten().ok_or_else(|| unexpected("no mail arrived"))
}

/// The first word of the mail that can be a code of this challenge.
fn find_code(mail: &Caught, challenge: &pb::Challenge) -> Option<String> {
    let length = usize::try_from(challenge.code_length).ok()?;
    let text = reading::text(&mail.message)?;
    let is_code = |word: &&str| {
        word.chars().count() == length
            && word
                .chars()
                .all(|letter| challenge.code_alphabet.contains(letter))
    };
    let mut words = text.split(|letter: char| !letter.is_alphanumeric());
    words.find(is_code).map(str::to_owned)
}

/// The code with its last character exchanged for its neighbour in the alphabet.
fn mistype(code: &str, alphabet: &str) -> String {
    let last = code.chars().last().unwrap_or_default();
    let mut following = alphabet
        .chars()
        .cycle()
        .skip_while(|letter| *letter != last)
        .skip(1);
    let kept: String = code
        .chars()
        .take(code.chars().count().saturating_sub(1))
        .collect();
    format!("{kept}{}", following.next().unwrap_or(last))
}

fn verdict(answer: &pb::VerifyCodeResponse) -> &'static str {
    let name = answer.result().as_str_name();
    name.strip_prefix("VERIFY_RESULT_").unwrap_or(name)
}

fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

fn require(holds: bool, otherwise: &str) -> Outcome {
    if holds { Ok(()) } else { Err(unexpected(otherwise)) }
}

fn unexpected(what: &str) -> Failure {
    Failure::advise(
        format!("the demo went wrong: {what}"),
        "run `mailfactor demo --verbose` and see what the service says",
    )
}
