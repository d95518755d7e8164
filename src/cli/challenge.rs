//! `mailfactor challenge`: a caller on the command line, for trying things.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{ServerArgs, refused},
    out::{CliError, CliResult, Out, moment},
    outbox::state_name,
};
use crate::pb::v1 as pb;

/// `mailfactor challenge ...`
#[derive(Args, Debug)]
pub struct ChallengeArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Start a challenge: look the user up and mail a code
    #[command(after_help = "Example:\n  mailfactor challenge start ann --endpoint laptop-7 --wait")]
    Start {
        /// The user's name, as the repository knows it
        user: String,
        /// The one repository to look in
        #[arg(long, default_value = "")]
        repository: String,
        /// What the code is for
        #[arg(long, value_enum, default_value_t = Purpose::Login)]
        purpose: Purpose,
        /// The event that asks
        #[arg(long, default_value = "")]
        event: String,
        /// Where the user stands, for the mail
        #[arg(long, default_value = "")]
        endpoint: String,
        /// The user's language, such as `de`
        #[arg(long, default_value = "")]
        locale: String,
        /// Where the user comes from, for the mail
        #[arg(long, default_value = "", value_name = "IP")]
        client_ip: String,
        /// Makes the call safe to repeat
        #[arg(long, default_value = "", value_name = "ID")]
        request_id: String,
        /// Answer only when the mail server has spoken
        #[arg(long)]
        wait: bool,
    },
    /// Verify a code. Exit code 0: verified; 1: not
    Verify {
        /// The challenge
        challenge: String,
        /// The code as it stands in the mail
        code: String,
    },
    /// Mail a fresh code
    Resend {
        /// The challenge
        challenge: String,
        /// Answer only when the mail server has spoken
        #[arg(long)]
        wait: bool,
    },
    /// Close a challenge
    Cancel {
        /// The challenge
        challenge: String,
    },
    /// Show a challenge as it stands
    Get {
        /// The challenge
        challenge: String,
    },
    /// Follow a challenge until it is closed
    Watch {
        /// The challenge
        challenge: String,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Purpose {
    Login,
    AddressConfirmation,
    Recovery,
}

impl Purpose {
    fn proto(self) -> pb::Purpose {
        match self {
            Self::Login => pb::Purpose::Login,
            Self::AddressConfirmation => pb::Purpose::AddressConfirmation,
            Self::Recovery => pb::Purpose::Recovery,
        }
    }
}

impl ChallengeArgs {
    /// Runs the command.
    pub async fn run(self, out: Out) -> CliResult {
        let mut client = pb::email_otp_authenticator_client::EmailOtpAuthenticatorClient::new(
            self.server.connect().await?,
        );
        let challenge = match self.command {
            Command::Start {
                user,
                repository,
                purpose,
                event,
                endpoint,
                locale,
                client_ip,
                request_id,
                wait,
            } => {
                let request = pb::StartChallengeRequest {
                    user,
                    repository,
                    purpose: purpose.proto().into(),
                    event,
                    endpoint,
                    locale,
                    client_ip,
                    wait_for_mail_server: wait,
                    request_id,
                };
                client
                    .start_challenge(request)
                    .await
                    .map_err(refused)?
                    .into_inner()
                    .challenge
            }
            Command::Resend { challenge, wait } => {
                let request = pb::ResendCodeRequest {
                    challenge_id: challenge,
                    wait_for_mail_server: wait,
                };
                client
                    .resend_code(request)
                    .await
                    .map_err(refused)?
                    .into_inner()
                    .challenge
            }
            Command::Cancel { challenge } => {
                let request = pb::CancelChallengeRequest {
                    challenge_id: challenge,
                };
                client
                    .cancel_challenge(request)
                    .await
                    .map_err(refused)?
                    .into_inner()
                    .challenge
            }
            Command::Get { challenge } => {
                let request = pb::GetChallengeRequest {
                    challenge_id: challenge,
                };
                client
                    .get_challenge(request)
                    .await
                    .map_err(refused)?
                    .into_inner()
                    .challenge
            }
            Command::Watch { challenge } => {
                let request = pb::WatchChallengeRequest {
                    challenge_id: challenge,
                };
                let mut news = client
                    .watch_challenge(request)
                    .await
                    .map_err(refused)?
                    .into_inner();
                while let Some(next) = news.message().await.map_err(refused)? {
                    show(out, &next.challenge.unwrap_or_default());
                }
                return Ok(());
            }
            Command::Verify { challenge, code } => {
                let request = pb::VerifyCodeRequest {
                    challenge_id: challenge,
                    code,
                };
                let verdict = client.verify_code(request).await.map_err(refused)?.into_inner();
                return show_verdict(out, &verdict);
            }
        };
        show(out, &challenge.unwrap_or_default());
        Ok(())
    }
}

fn show(out: Out, challenge: &pb::Challenge) {
    out.value(&challenge_json(challenge), |out| {
        out.fields(&[
            ("challenge", challenge.challenge_id.clone()),
            ("state", challenge_state(challenge.state)),
            ("recipient", challenge.masked_recipient.clone()),
            ("code no.", challenge.code_number.to_string()),
            (
                "code",
                format!("{} of {}", challenge.code_length, challenge.code_alphabet),
            ),
            ("delivery", state_name(challenge.delivery).to_owned()),
            ("attempts left", challenge.attempts_left.to_string()),
            ("expires", moment(challenge.expires_at.as_ref())),
            ("resend from", moment(challenge.resend_at.as_ref())),
            ("verified", moment(challenge.verified_at.as_ref())),
        ]);
    });
}

fn show_verdict(out: Out, verdict: &pb::VerifyCodeResponse) -> CliResult {
    let result = verdict_name(verdict.result);
    let value = json!({
        "result": result,
        "attempts_left": verdict.attempts_left,
        "verified_at": moment(verdict.verified_at.as_ref()),
        "locked_until": moment(verdict.locked_until.as_ref()),
    });
    out.value(&value, |out| {
        out.fields(&[
            ("result", result.clone()),
            ("attempts left", verdict.attempts_left.to_string()),
            ("verified", moment(verdict.verified_at.as_ref())),
            ("locked until", moment(verdict.locked_until.as_ref())),
        ]);
    });
    let verified = verdict.result == i32::from(pb::VerifyResult::Verified);
    if verified {
        Ok(())
    } else {
        Err(CliError::new(format!("not verified: {result}")))
    }
}

fn challenge_json(challenge: &pb::Challenge) -> Value {
    json!({
        "challenge_id": challenge.challenge_id,
        "state": challenge_state(challenge.state),
        "masked_recipient": challenge.masked_recipient,
        "code_number": challenge.code_number,
        "code_length": challenge.code_length,
        "code_alphabet": challenge.code_alphabet,
        "delivery": state_name(challenge.delivery),
        "attempts_left": challenge.attempts_left,
        "created_at": moment(challenge.created_at.as_ref()),
        "expires_at": moment(challenge.expires_at.as_ref()),
        "resend_at": moment(challenge.resend_at.as_ref()),
        "verified_at": moment(challenge.verified_at.as_ref()),
        "event": challenge.event,
        "endpoint": challenge.endpoint,
    })
}

fn challenge_state(state: i32) -> String {
    let state = pb::ChallengeState::try_from(state).unwrap_or_default();
    state
        .as_str_name()
        .trim_start_matches("CHALLENGE_STATE_")
        .to_ascii_lowercase()
}

/// The name of a verdict.
#[must_use]
pub fn verdict_name(result: i32) -> String {
    let result = pb::VerifyResult::try_from(result).unwrap_or_default();
    result
        .as_str_name()
        .trim_start_matches("VERIFY_RESULT_")
        .to_ascii_lowercase()
}
