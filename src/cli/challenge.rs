//! `challenge`: the factor itself, for trying things.

use std::io::{self, BufRead as _};

use clap::{Args, Subcommand};

use super::{
    Failure, Outcome,
    client::{Client, ClientArguments},
    out, secret, show,
};
use crate::pb::v1 as pb;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Sends a user a code.
    #[command(
        after_help = "Example:\n  mailfactor challenge start ann --event vpn --wait\n  mailfactor challenge verify CHALLENGE\n  \
                      mailfactor challenge start ann --purpose address_confirmation --override-address ann@home.example"
    )]
    Start(Box<Start>),
    /// Verifies a code: exit code 0 if it is right, 1 if not.
    Verify(Verify),
    /// Sends a further code, after the cooldown.
    Resend(Resend),
    /// Closes an open challenge.
    Cancel(One),
    /// Shows a challenge.
    Get(One),
    /// Shows a challenge, and again whenever it changes, until it is closed.
    Watch(One),
}

#[derive(Debug, Args)]
pub(super) struct Start {
    /// The user, as the repository knows it.
    user: String,
    /// The repository to look in; without it, all of them in order.
    #[arg(long, default_value = "", hide_default_value = true)]
    repository: String,
    /// What the code is for.
    #[arg(long, default_value = "login", value_parser = purpose, value_name = "login|address_confirmation|recovery")]
    purpose: pb::Purpose,
    /// The event that asks, such as `vpn`.
    #[arg(long, default_value = "", hide_default_value = true)]
    event: String,
    /// Where the user stands, for the mail.
    #[arg(long, default_value = "", hide_default_value = true)]
    endpoint: String,
    /// The user's language.
    #[arg(long, default_value = "", hide_default_value = true)]
    locale: String,
    /// The address the user comes from, for the mail.
    #[arg(long, default_value = "", hide_default_value = true)]
    client_ip: String,
    /// Asks for the user's password, which is checked before any mail goes out.
    #[arg(long)]
    ask_password: bool,
    /// Answers only when the mail server has taken or refused the mail.
    #[arg(long)]
    wait: bool,
    /// Makes the call safe to repeat.
    #[arg(long, default_value = "", hide_default_value = true)]
    request_id: String,
    /// Mails to this address instead of the one on file. Confirm it first: `--purpose address_confirmation`.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ADDRESS")]
    override_address: String,
    /// Where replies go, unless the account forces its own.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ADDRESS")]
    reply_to: String,
    /// The envelope sender, where bounces go, unless the account forces its own.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ADDRESS")]
    return_path: String,
    /// Where confirmations of reading go, unless the account forces its own.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ADDRESS")]
    confirmation_address: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The challenge.
    #[arg(allow_hyphen_values = true)]
    challenge: String,
    /// The code; without it, it is asked for.
    code: Option<String>,
    /// Whom the challenge must have been started for.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "USER")]
    expect_user: String,
    /// What it must be for.
    #[arg(long, value_parser = purpose, value_name = "login|address_confirmation|recovery")]
    expect_purpose: Option<pb::Purpose>,
    /// The event that must have been named; empty: none.
    #[arg(long, value_name = "EVENT")]
    expect_event: Option<String>,
    /// Makes the call safe to repeat.
    #[arg(long, default_value = "", hide_default_value = true)]
    request_id: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct Resend {
    /// The challenge.
    #[arg(allow_hyphen_values = true)]
    challenge: String,
    /// Answers only when the mail server has taken or refused the mail.
    #[arg(long)]
    wait: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The challenge.
    #[arg(allow_hyphen_values = true)]
    challenge: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::Start(start) => start.run().await,
            Self::Verify(verify) => verify.run().await,
            Self::Resend(resend) => {
                let request = pb::ResendCodeRequest {
                    challenge_id: resend.challenge,
                    wait_for_mail_server: resend.wait,
                };
                let mut client = resend.client.connect().await?;
                let answer = client.challenges.resend_code(request).await?.into_inner();
                print(answer.challenge, resend.json);
                Ok(())
            }
            Self::Cancel(one) => {
                let request = pb::CancelChallengeRequest {
                    challenge_id: one.challenge,
                };
                let mut client = one.client.connect().await?;
                let answer = client.challenges.cancel_challenge(request).await?.into_inner();
                print(answer.challenge, one.json);
                Ok(())
            }
            Self::Get(one) => {
                let request = pb::GetChallengeRequest {
                    challenge_id: one.challenge,
                };
                let mut client = one.client.connect().await?;
                let answer = client.challenges.get_challenge(request).await?.into_inner();
                print(answer.challenge, one.json);
                Ok(())
            }
            Self::Watch(one) => {
                let client = one.client.connect_stream().await?;
                watch(client, one.challenge, one.json).await
            }
        }
    }
}

impl Start {
    async fn run(self) -> Outcome {
        let password = if self.ask_password {
            secret::ask("The user's password: ")?.to_string()
        } else {
            String::new()
        };
        let request = pb::StartChallengeRequest {
            user: self.user,
            password,
            repository: self.repository,
            purpose: self.purpose.into(),
            event: self.event,
            endpoint: self.endpoint,
            locale: self.locale,
            client_ip: self.client_ip,
            wait_for_mail_server: self.wait,
            request_id: self.request_id,
            override_address: self.override_address,
            reply_to: self.reply_to,
            return_path: self.return_path,
            confirmation_address: self.confirmation_address,
        };
        let mut client = self.client.connect().await?;
        let answer = client.challenges.start_challenge(request).await?.into_inner();
        print(answer.challenge, self.json);
        Ok(())
    }
}

impl Verify {
    async fn run(self) -> Outcome {
        let code = match self.code {
            Some(code) => code,
            None => ask_code()?,
        };
        let request = pb::VerifyCodeRequest {
            challenge_id: self.challenge,
            code,
            expected_user: self.expect_user,
            expected_purpose: self.expect_purpose.unwrap_or_default().into(),
            expected_event: self.expect_event,
            request_id: self.request_id,
        };
        let mut client = self.client.connect().await?;
        let answer = client.challenges.verify_code(request).await?.into_inner();
        if self.json {
            out::json(&show::verdict(&answer));
        } else {
            let mut pairs = vec![
                (
                    "result",
                    show::word(answer.result().as_str_name(), "VERIFY_RESULT_"),
                ),
                ("attempts left", answer.attempts_left.to_string()),
                ("verified", show::time(answer.verified_at.as_ref())),
                ("locked until", show::time(answer.locked_until.as_ref())),
                ("purpose", show::word(answer.purpose().as_str_name(), "PURPOSE_")),
                ("event", answer.event.clone()),
            ];
            if !answer.subject.is_empty() {
                pairs.push(("repository", answer.repository.clone()));
                pairs.push(("subject", answer.subject.clone()));
            }
            if !answer.mismatched_fields.is_empty() {
                pairs.push(("not as expected", answer.mismatched_fields.join(", ")));
            }
            if answer.must_change {
                pairs.push((
                    "change the password by",
                    show::time(answer.must_change_by.as_ref()),
                ));
            }
            out::pairs(&pairs);
        }
        if answer.result() == pb::VerifyResult::Verified {
            Ok(())
        } else {
            Err(Failure::Told)
        }
    }
}

async fn watch(mut client: Client, challenge_id: String, json: bool) -> Outcome {
    let request = pb::WatchChallengeRequest { challenge_id };
    let mut news = client.challenges.watch_challenge(request).await?.into_inner();
    while let Some(answer) = news.message().await? {
        let challenge = answer.challenge.unwrap_or_default();
        if json {
            out::json_line(&show::challenge(&challenge));
        } else {
            out::say(format_args!(
                "{}, mail {}, code no. {}, {} attempt(s) left",
                show::word(challenge.state().as_str_name(), "CHALLENGE_STATE_"),
                show::word(challenge.delivery().as_str_name(), "DELIVERY_STATE_"),
                challenge.code_number,
                challenge.attempts_left,
            ));
        }
    }
    Ok(())
}

fn print(challenge: Option<pb::Challenge>, json: bool) {
    let challenge = challenge.unwrap_or_default();
    if json {
        out::json(&show::challenge(&challenge));
    } else {
        out::pairs(&show::challenge_pairs(&challenge));
    }
}

fn ask_code() -> Result<String, Failure> {
    out::ask("code: ");
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::say(format!("standard input cannot be read: {error}")))?;
    Ok(line.trim().to_owned())
}

pub(super) fn purpose(text: &str) -> Result<pb::Purpose, String> {
    let name = format!("PURPOSE_{}", text.to_uppercase().replace('-', "_"));
    pb::Purpose::from_str_name(&name)
        .ok_or_else(|| "must be login, address_confirmation or recovery".to_owned())
}
