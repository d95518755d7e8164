//! What callers do: start a challenge, submit a code, both.

use std::time::Duration;

use mailfactor::pb::v1 as pb;
use tokio::time::Instant;

use super::{Outcome, client::Callers, service, sink::Codes};

/// A challenge whose code is known.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) challenge: String,
    pub(crate) code: String,
}

/// Starts a challenge: its name.
pub(crate) async fn start(callers: &Callers, lane: usize, user: usize) -> Outcome<String> {
    let request = callers.signed(pb::StartChallengeRequest {
        user: service::user(user),
        ..pb::StartChallengeRequest::default()
    });
    let answer = callers.of(lane).start_challenge(request).await?.into_inner();
    Ok(answer
        .challenge
        .ok_or("a start without a challenge")?
        .challenge_id)
}

/// Submits the code, or where that is expected to be wrong one that differs in its last digit, and insists on the verdict.
pub(crate) async fn verify(
    callers: &Callers,
    lane: usize,
    prepared: Prepared,
    expected: pb::VerifyResult,
) -> Outcome<Prepared> {
    let mut code = prepared.code.clone();
    if expected == pb::VerifyResult::WrongCode {
        let last = code.pop().and_then(|digit| digit.to_digit(10)).unwrap_or(0);
        code.push(char::from_digit((last + 1) % 10, 10).unwrap_or('0'));
    }
    let verdict = verdict(callers, lane, prepared.challenge.clone(), code).await?;
    if verdict == expected {
        Ok(prepared)
    } else {
        Err(format!("the verdict is {verdict:?}, not {expected:?}").into())
    }
}

/// Submits a code: what it was found to be.
pub(crate) async fn verdict(
    callers: &Callers,
    lane: usize,
    challenge_id: String,
    code: String,
) -> Outcome<pb::VerifyResult> {
    let request = callers.signed(pb::VerifyCodeRequest {
        challenge_id,
        code,
        ..pb::VerifyCodeRequest::default()
    });
    Ok(callers.of(lane).verify_code(request).await?.into_inner().result())
}

/// Gives how long the start and the verification took.
pub(crate) async fn flow(
    callers: &Callers,
    codes: &Codes,
    lane: usize,
    user: usize,
) -> Outcome<(Duration, Duration)> {
    let began = Instant::now();
    let challenge = start(callers, lane, user).await?;
    let started = began.elapsed();
    let code = codes.of(&service::address(user)).await?;
    let began = Instant::now();
    let prepared = Prepared { challenge, code };
    verify(callers, lane, prepared, pb::VerifyResult::Verified).await?;
    Ok((started, began.elapsed()))
}
