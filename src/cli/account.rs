//! `account`: the mail accounts of a server.

use clap::{Args, Subcommand};

use super::{
    Failure, Outcome,
    client::{Client, ClientArguments},
    out, show,
};
use crate::pb::v1 as pb;

mod dkim;
pub(super) mod fields;
mod identity;
pub(super) mod oauth;
mod presets;
pub(super) mod test;

use fields::{Fields, Secret};
use identity::Identity;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Adds an account; the first becomes the default. The password is asked for.
    #[command(
        after_help = "Examples:\n  mailfactor account add work --host smtp.example.com --security starttls \\\n      \
                            --username login@example.com --sender login@example.com --display-name \"Example Login\"\n  \
                            mailfactor account add gmail --preset gmail --username me@gmail.com --sender me@gmail.com\n  \
                            mailfactor account add relay --host relay.lan --security none --acknowledge-risks \\\n      \
                            --sender login@example.com\n  \
                            mailfactor account add m365 --preset office365 --username noreply@contoso.com \\\n      \
                            --sender noreply@contoso.com --oauth-provider microsoft365 \\\n      \
                            --oauth-tenant contoso.onmicrosoft.com --oauth-client-id APPLICATION-ID \\\n      \
                            --oauth-client-secret secret.txt\n\n\
                            With --username a password is asked for, or read from standard input, unless one of\n\
                            --password-file, --secret-file and --secret-environment says where it is, or OAuth 2.0\n\
                            takes its place. --default-credentials takes both from the server's configuration."
    )]
    Add(Add),
    /// Lists accounts.
    List(List),
    /// Lists the mail services that are known, for `add --preset`.
    Presets(List),
    /// Shows an account; its secret is never shown.
    Show(One),
    /// Changes what is named and nothing else.
    #[command(
        after_help = "Example:\n  mailfactor account update work --port 2525 --password-file new-password"
    )]
    Update(Update),
    /// Makes an account the one that mail goes through.
    Default(One),
    /// Removes an account; the default one only as the last.
    Remove(One),
    /// Signs the mails of an account with DKIM: its keys and their DNS records.
    #[command(subcommand)]
    Dkim(dkim::Command),
    /// Tries an account against its mail server, stage by stage. No mail is sent.
    Test(test::Test),
    /// Sends a test message, the way every mail goes.
    #[command(after_help = "Example:\n  mailfactor account send-test me@example.com")]
    SendTest(test::SendTest),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name, for people.
    name: String,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    secret: Secret,
    #[command(flatten)]
    oauth: oauth::Oauth,
    #[command(flatten)]
    identity: Identity,
    /// Adds it disabled.
    #[arg(long)]
    disabled: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// The account, by name or id.
    account: String,
    /// Its new name.
    #[arg(long)]
    name: Option<String>,
    /// Whether mail may go through it.
    #[arg(long, value_name = "true|false")]
    enabled: Option<bool>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    secret: Secret,
    #[command(flatten)]
    oauth: oauth::Oauth,
    #[command(flatten)]
    identity: Identity,
    /// Logs in no longer.
    #[arg(long, conflicts_with_all = ["username", "password_file", "secret_file", "secret_environment", "default_credentials"])]
    no_authentication: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The account, by name or id.
    account: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::Add(add) => add.run().await,
            Self::List(list) => list.run().await,
            Self::Presets(list) => presets::run(list).await,
            Self::Update(update) => update.run().await,
            Self::Dkim(command) => command.run().await,
            Self::Test(test) => test.run().await,
            Self::SendTest(test) => test.run().await,
            Self::Show(one) => {
                let mut client = one.client.connect().await?;
                let account = get(&mut client, &one.account).await?;
                let keys = dkim::keys(&mut client, &account.account_id).await?;
                if one.json {
                    let mut value = show::account(&account);
                    value["dkim"] = keys.iter().map(dkim::value).collect();
                    out::json(&value);
                } else {
                    let mut pairs = show::account_pairs(&account);
                    pairs.extend(keys.iter().map(|key| ("dkim", dkim::brief(key))));
                    out::pairs(&pairs);
                }
                Ok(())
            }
            Self::Default(one) => {
                let mut client = one.client.connect().await?;
                let request = pb::SetDefaultAccountRequest { account: one.account };
                let answer = client.policy.set_default_account(request).await?.into_inner();
                print(&answer.account.unwrap_or_default(), one.json);
                Ok(())
            }
            Self::Remove(one) => {
                let mut client = one.client.connect().await?;
                let request = pb::DeleteAccountRequest {
                    account: one.account.clone(),
                    etag: String::new(),
                };
                client.policy.delete_account(request).await?;
                out::complain(format!("removed {}", one.account));
                Ok(())
            }
        }
    }
}

impl Add {
    async fn run(self) -> Outcome {
        let mut account = pb::Account {
            name: self.name,
            enabled: !self.disabled,
            ..pb::Account::default()
        };
        self.fields.apply(&mut account)?;
        self.identity.apply(&mut account)?;
        let oauth = self.oauth.apply(&mut account)?;
        let default = self.secret.apply_default(&mut account);
        if oauth && default {
            return Err(Failure::say("--default-credentials takes no OAuth 2.0"));
        }
        if oauth && (!account.authentication || self.secret.is_given()) {
            let text = "OAuth 2.0 needs --username, and no password";
            return Err(Failure::advise(text, "see `mailfactor account add --help`"));
        }
        if account.authentication && !oauth && !default {
            account.secret = Some(self.secret.read_or_ask(&account.username)?);
        } else if !oauth && self.secret.is_given() {
            return Err(Failure::say("a secret needs --username"));
        }
        let mut client = self.client.connect().await?;
        let request = pb::CreateAccountRequest {
            account: Some(account),
        };
        let answer = client.policy.create_account(request).await?.into_inner();
        let account = answer.account.unwrap_or_default();
        print(&account, self.json);
        test::told(answer.test.as_ref(), &account)
    }
}

impl Update {
    async fn run(self) -> Outcome {
        let mut client = self.client.connect().await?;
        let mut account = get(&mut client, &self.account).await?;
        let mut paths = self.fields.apply(&mut account)?;
        paths.extend(self.identity.apply(&mut account)?);
        if let Some(name) = self.name {
            account.name = name;
            paths.push("name");
        }
        if let Some(enabled) = self.enabled {
            account.enabled = enabled;
            paths.push("enabled");
        }
        if self.oauth.apply(&mut account)? {
            paths.push("oauth");
        }
        if self.secret.apply_default(&mut account) {
            paths.extend(["authentication", "username", "default_credentials"]);
        }
        account.secret = self.secret.read()?;
        if account.secret.is_some() {
            paths.push("secret");
        }
        if self.no_authentication {
            account.authentication = false;
            account.username.clear();
            paths.extend(["authentication", "username", "secret"]);
        }
        if paths.is_empty() {
            return Err(Failure::advise(
                "nothing was named to change",
                "see `mailfactor account update --help`",
            ));
        }
        let mask = prost_types::FieldMask {
            paths: paths.into_iter().map(str::to_owned).collect(),
        };
        let request = pb::UpdateAccountRequest {
            account: Some(account),
            update_mask: Some(mask),
        };
        let answer = client.policy.update_account(request).await?.into_inner();
        let account = answer.account.unwrap_or_default();
        print(&account, self.json);
        test::told(answer.test.as_ref(), &account)
    }
}

impl List {
    async fn run(self) -> Outcome {
        let mut client = self.client.connect().await?;
        let answer = client.policy.list_accounts(pb::ListAccountsRequest {}).await?;
        let accounts = answer.into_inner().accounts;
        if self.json {
            out::json(&accounts.iter().map(show::account).collect());
        } else {
            let rows: Vec<_> = accounts.iter().map(row).collect();
            out::table(&["name", "state", "server", "security", "login", "sender"], &rows);
            for account in &accounts {
                for warning in &account.warnings {
                    out::complain(format!("warning: {}: {warning}", account.name));
                }
            }
        }
        Ok(())
    }
}

async fn get(client: &mut Client, account: &str) -> Result<pb::Account, Failure> {
    let request = pb::GetAccountRequest {
        account: account.to_owned(),
    };
    let answer = client.policy.get_account(request).await?.into_inner();
    Ok(answer.account.unwrap_or_default())
}

fn print(account: &pb::Account, json: bool) {
    if json {
        out::json(&show::account(account));
    } else {
        out::pairs(&show::account_pairs(account));
        for warning in &account.warnings {
            out::complain(format!("warning: {warning}"));
        }
    }
}

fn row(account: &pb::Account) -> Vec<String> {
    let state = match (account.enabled, account.is_default) {
        (false, _) => "disabled",
        (true, true) => "default",
        (true, false) => "enabled",
    };
    let state = match account.standing.as_ref().map(pb::AccountStanding::state) {
        Some(pb::AccountState::Resting) => format!("{state}, failing"),
        Some(pb::AccountState::Spent) => format!("{state}, at its limit"),
        _ => state.to_owned(),
    };
    vec![
        account.name.clone(),
        state,
        format!("{}:{}", account.host, account.port),
        show::security(account).to_owned(),
        show::login(account),
        account.sender.clone(),
    ]
}
