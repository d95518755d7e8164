//! `mailfactor account`: the mail accounts that codes go out through.

use clap::{Args, Subcommand};
use serde_json::json;

use self::{
    settings::Settings,
    view::{show, show_list, show_sent, show_test},
};
use super::{
    client::{Connection, ServerArgs, refused},
    out::{CliError, CliResult, Out},
};
use crate::pb::v1 as pb;

mod settings;
mod view;

/// `mailfactor account ...`
#[derive(Args, Debug)]
pub struct AccountArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Add an account; the first becomes the default
    #[command(after_help = "Examples:
  mailfactor account add office --host smtp.example.com --security starttls \\
      --sender noreply@example.com --username noreply --password-file /run/secrets/smtp
  mailfactor account add relay --host 127.0.0.1 --port 25 --security none --sender noreply@example.com")]
    Add {
        /// Its name
        name: String,
        #[command(flatten)]
        settings: Settings,
        /// Add it switched off
        #[arg(long)]
        disabled: bool,
    },
    /// List all accounts
    List,
    /// Show one account
    Show {
        /// Its name or id
        account: String,
    },
    /// Change what is given and leave the rest
    Update {
        /// Its name or id
        account: String,
        #[command(flatten)]
        settings: Settings,
        /// A new name
        #[arg(long)]
        rename: Option<String>,
        /// Switch it on or off
        #[arg(long, value_name = "true|false")]
        enabled: Option<bool>,
    },
    /// Make an account the default
    Default {
        /// Its name or id
        account: String,
    },
    /// Remove an account
    Remove {
        /// Its name or id
        account: String,
    },
    /// Try an account against its mail server, stage by stage; no mail is sent
    Test {
        /// Its name or id
        account: String,
        /// The recipient to offer; without it the sender itself
        #[arg(long, default_value = "", value_name = "ADDRESS")]
        recipient: String,
    },
    /// Send a test message the way real mail goes
    SendTest {
        /// Where to
        recipient: String,
        /// Through which account; without it the default
        #[arg(long, default_value = "", value_name = "NAME")]
        account: String,
        /// The subject
        #[arg(long, default_value = "")]
        subject: String,
        /// The text
        #[arg(long, default_value = "")]
        text: String,
    },
}

impl AccountArgs {
    /// Runs the command.
    pub async fn run(self, out: Out) -> CliResult {
        let mut client =
            pb::mail_sender_policy_client::MailSenderPolicyClient::new(self.server.connect().await?);
        match self.command {
            Command::Add {
                name,
                settings,
                disabled,
            } => {
                let mut account = pb::Account {
                    name,
                    enabled: !disabled,
                    ..pb::Account::default()
                };
                settings.apply(&mut account)?;
                let request = pb::CreateAccountRequest {
                    account: Some(account),
                };
                let created = client
                    .create_account(request)
                    .await
                    .map_err(refused)?
                    .into_inner()
                    .account;
                show(out, &created.unwrap_or_default());
            }
            Command::List => {
                let accounts = client
                    .list_accounts(pb::ListAccountsRequest {})
                    .await
                    .map_err(refused)?
                    .into_inner();
                show_list(out, &accounts.accounts);
            }
            Command::Show { account } => show(out, &get(&mut client, account).await?),
            Command::Update {
                account,
                settings,
                rename,
                enabled,
            } => {
                let updated = update(&mut client, account, settings, rename, enabled).await?;
                show(out, &updated);
            }
            Command::Default { account } => {
                let request = pb::SetDefaultAccountRequest { account };
                let account = client
                    .set_default_account(request)
                    .await
                    .map_err(refused)?
                    .into_inner()
                    .account;
                show(out, &account.unwrap_or_default());
            }
            Command::Remove { account } => {
                let request = pb::DeleteAccountRequest {
                    account: account.clone(),
                    etag: String::new(),
                };
                client.delete_account(request).await.map_err(refused)?;
                out.value(&json!({ "removed": account }), |out| {
                    out.line(format_args!("removed {account}"));
                });
            }
            Command::Test { account, recipient } => {
                let target = Some(pb::test_connection_request::Target::Account(account));
                let request = pb::TestConnectionRequest { target, recipient };
                let report = client
                    .test_connection(request)
                    .await
                    .map_err(refused)?
                    .into_inner();
                return show_test(out, &report);
            }
            Command::SendTest {
                recipient,
                account,
                subject,
                text,
            } => {
                let wait_for_mail_server = true;
                let request = pb::SendTestMessageRequest {
                    account,
                    recipient,
                    subject,
                    text,
                    wait_for_mail_server,
                };
                let entry = client
                    .send_test_message(request)
                    .await
                    .map_err(refused)?
                    .into_inner()
                    .entry;
                return show_sent(out, &entry.unwrap_or_default());
            }
        }
        Ok(())
    }
}

type Client = pb::mail_sender_policy_client::MailSenderPolicyClient<Connection>;

async fn get(client: &mut Client, account: String) -> Result<pb::Account, CliError> {
    let found = client
        .get_account(pb::GetAccountRequest { account })
        .await
        .map_err(refused)?;
    Ok(found.into_inner().account.unwrap_or_default())
}

async fn update(
    client: &mut Client,
    account: String,
    settings: Settings,
    rename: Option<String>,
    enabled: Option<bool>,
) -> Result<pb::Account, CliError> {
    let mut account = get(client, account).await?;
    account.secret = None;
    let mut paths = settings.apply(&mut account)?;
    if let Some(name) = rename {
        account.name = name;
        paths.push("name".into());
    }
    if let Some(enabled) = enabled {
        account.enabled = enabled;
        paths.push("enabled".into());
    }
    if paths.is_empty() {
        return Err(CliError::new("nothing to change").hint("see `mailfactor account update --help`"));
    }
    let update_mask = Some(prost_types::FieldMask { paths });
    let request = pb::UpdateAccountRequest {
        account: Some(account),
        update_mask,
    };
    let updated = client.update_account(request).await.map_err(refused)?;
    Ok(updated.into_inner().account.unwrap_or_default())
}
