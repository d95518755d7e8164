//! Requests about challenges, and challenges as their callers see them.

use zeroize::Zeroizing;

use super::{count, field, moment};
use crate::{
    domain::{
        account::Replies,
        address::{EmailAddress, LocalPart},
        challenge::{Mismatch, Purpose, Standing, Verdict},
        client_address::client_address,
        locale::language_tag,
        text::{check_line, tidy_line},
        violation::Violations,
    },
    factor::{
        ChallengeView, Expected, Judgement, Password, ResendRequest, StartRequest, UserName, VerifyRequest,
    },
    pb::v1 as pb,
};

/// A request to start a challenge.
pub(in crate::grpc) fn start(
    request: pb::StartChallengeRequest,
    local_part: LocalPart,
) -> Result<StartRequest, Violations> {
    let mut faults = Violations::new();
    let user = faults.check("user", UserName::parse(&request.user));
    faults.check("repository", check_line(&request.repository, 64));
    let purpose = faults.check("purpose", purpose(request.purpose));
    faults.check("event", field::event(&request.event));
    let password = Zeroizing::new(request.password);
    let password = if password.is_empty() {
        None
    } else {
        faults.check("password", Password::parse(password))
    };
    let request_id = faults.check("request_id", field::request_id(&request.request_id));
    let mut address = |field, text: &str| match text {
        "" => None,
        text => faults.check(field, EmailAddress::parse(text.trim(), local_part)),
    };
    let override_address = address("override_address", &request.override_address);
    let replies = Replies {
        reply_to: address("reply_to", &request.reply_to),
        return_path: address("return_path", &request.return_path),
        confirmation: address("confirmation_address", &request.confirmation_address),
    };
    match (user, purpose, request_id) {
        (Some(user), Some(purpose), Some(request_id)) if faults.is_empty() => {
            Ok(StartRequest {
                user,
                repository: Some(request.repository).filter(|name| !name.is_empty()),
                password,
                purpose,
                event: request.event,
                // None of these is worth refusing a login for: what cannot be read is left out.
                endpoint: tidy_line(&request.endpoint, 256),
                locale: language_tag(&request.locale),
                client_ip: client_address(&request.client_ip),
                wait: request.wait_for_mail_server,
                request_id,
                override_address,
                replies,
            })
        }
        _ => Err(faults),
    }
}

/// A request for a further code.
pub(in crate::grpc) fn resend(request: &pb::ResendCodeRequest) -> Result<ResendRequest, Violations> {
    Ok(ResendRequest {
        id: super::id("challenge_id", &request.challenge_id)?,
        wait: request.wait_for_mail_server,
    })
}

/// A submitted code. It is wiped from memory when it has been judged.
pub(in crate::grpc) fn verify(request: pb::VerifyCodeRequest) -> Result<VerifyRequest, Violations> {
    let code = Zeroizing::new(request.code);
    let mut faults = Violations::new();
    let id = faults.check("challenge_id", field::id(&request.challenge_id));
    let typed = faults.check("code", field::typed_code(&code));
    let user = match request.expected_user.as_str() {
        "" => None,
        name => faults.check("expected_user", UserName::parse(name)),
    };
    let purpose = match request.expected_purpose {
        0 => None,
        number => faults.check("expected_purpose", purpose(number)),
    };
    let event = request.expected_event;
    faults.check(
        "expected_event",
        field::event(event.as_deref().unwrap_or_default()),
    );
    let request_id = faults.check("request_id", field::request_id(&request.request_id));
    match (id, typed, request_id) {
        (Some(id), Some(()), Some(request_id)) if faults.is_empty() => Ok(VerifyRequest {
            id,
            code,
            expected: Expected { user, purpose, event },
            request_id,
        }),
        _ => Err(faults),
    }
}

/// A challenge as its caller sees it.
pub(in crate::grpc) fn challenge(view: ChallengeView) -> pb::Challenge {
    let challenge = view.challenge;
    let resend_at = challenge
        .next_resend()
        .filter(|_| view.standing == Standing::Pending);
    let delivery = view
        .delivery
        .map_or(pb::DeliveryState::Withheld, super::delivery::state);
    pb::Challenge {
        challenge_id: challenge.id.to_string(),
        reference: challenge.id.reference(),
        purpose: purpose_of(challenge.purpose).into(),
        state: standing(view.standing).into(),
        code_number: count(challenge.code_number),
        code_length: i32::from(challenge.spec.length()),
        code_alphabet: challenge.spec.alphabet().as_str().to_owned(),
        created_at: Some(moment(challenge.created_at)),
        expires_at: Some(moment(challenge.expires_at)),
        resend_at: resend_at.map(moment),
        attempts_left: count(challenge.attempts_left()),
        verified_at: challenge.verified_at.map(moment),
        delivery: delivery.into(),
        masked_recipient: challenge.masked_recipient,
        event: challenge.event,
        endpoint: challenge.endpoint,
    }
}

/// A verdict, what the challenge still bears, and what it is for.
pub(in crate::grpc) fn verdict(judgement: Judgement) -> pb::VerifyCodeResponse {
    use pb::VerifyResult as Result;
    let Judgement {
        verdict,
        challenge,
        user,
    } = judgement;
    let (repository, subject) = user.map_or_else(Default::default, |user| (user.repository, user.id));
    let mut response = pb::VerifyCodeResponse {
        attempts_left: count(challenge.attempts_left()),
        purpose: purpose_of(challenge.purpose).into(),
        repository,
        subject,
        ..pb::VerifyCodeResponse::default()
    };
    let result = match verdict {
        Verdict::Verified { at } => {
            response.verified_at = Some(moment(at));
            response.must_change_by = challenge.must_change_by().map(moment);
            response.must_change = response.must_change_by.is_some();
            Result::Verified
        }
        Verdict::Wrong { attempts_left } => {
            response.attempts_left = count(attempts_left);
            Result::WrongCode
        }
        Verdict::Expired => Result::Expired,
        Verdict::Used { at } => {
            response.verified_at = Some(moment(at));
            Result::AlreadyUsed
        }
        Verdict::Cancelled => Result::Cancelled,
        Verdict::Locked => Result::ChallengeLocked,
        Verdict::UserLocked { until } => {
            response.locked_until = until.map(moment);
            Result::UserLocked
        }
        Verdict::Mismatch(mismatch) => {
            response.mismatched_fields = mismatched(mismatch);
            Result::Mismatch
        }
    };
    response.set_result(result);
    response.event = challenge.event;
    response
}

/// The fields of the request that the challenge is not as.
fn mismatched(mismatch: Mismatch) -> Vec<String> {
    let fields = [
        ("expected_user", mismatch.user),
        ("expected_purpose", mismatch.purpose),
        ("expected_event", mismatch.event),
    ];
    let failed = fields.into_iter().filter(|(_, failed)| *failed);
    failed.map(|(field, _)| field.to_owned()).collect()
}

pub(super) fn purpose(number: i32) -> Result<Purpose, field::Fault> {
    match pb::Purpose::try_from(number) {
        Ok(pb::Purpose::Unspecified | pb::Purpose::Login) => Ok(Purpose::Login),
        Ok(pb::Purpose::AddressConfirmation) => Ok(Purpose::AddressConfirmation),
        Ok(pb::Purpose::Recovery) => Ok(Purpose::Recovery),
        Err(_) => Err("is not a purpose"),
    }
}

pub(super) fn purpose_of(purpose: Purpose) -> pb::Purpose {
    match purpose {
        Purpose::Login => pb::Purpose::Login,
        Purpose::AddressConfirmation => pb::Purpose::AddressConfirmation,
        Purpose::Recovery => pb::Purpose::Recovery,
    }
}

fn standing(standing: Standing) -> pb::ChallengeState {
    match standing {
        Standing::Pending => pb::ChallengeState::Pending,
        Standing::Verified => pb::ChallengeState::Verified,
        Standing::Cancelled => pb::ChallengeState::Cancelled,
        Standing::Locked => pb::ChallengeState::Locked,
        Standing::Expired => pb::ChallengeState::Expired,
    }
}
