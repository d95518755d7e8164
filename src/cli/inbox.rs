//! `inbox`: the mailboxes that a server reads for bounces and read receipts.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure, Outcome,
    account::{fields::Secret, test::tell},
    client::{Client, ClientArguments},
    out, show,
};
use crate::pb::v1 as pb;

mod check;
mod fields;

use fields::Fields;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Adds an inbox. The password is asked for.
    #[command(
        after_help = "Examples:\n  mailfactor inbox add bounces --protocol imap --host imap.example.com --security tls \\\n      \
                            --username bounces@example.com --automatic-check true\n  \
                            mailfactor inbox add receipts --protocol pop3 --host pop.example.com --security starttls \\\n      \
                            --username receipts@example.com --keep-copy false --automatic-check true\n\n\
                            The password is asked for, or read from standard input, unless one of --password-file,\n\
                            --secret-file and --secret-environment says where it is. Messages stay on the server unless\n\
                            --keep-copy false is given: then every message that was read is deleted there."
    )]
    Add(Add),
    /// Lists inboxes and how their checks go.
    List(List),
    /// Shows an inbox; its secret is never shown.
    Show(One),
    /// Changes what is named and nothing else.
    #[command(after_help = "Example:\n  mailfactor inbox update bounces --interval 300 --keep-copy false")]
    Update(Update),
    /// Removes an inbox; the mailbox at its server stays as it is.
    Remove(One),
    /// Tries an inbox against its server, stage by stage. No message is read.
    Test(One),
    /// Reads an inbox now, and tells what came back.
    Check(One),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name, for people.
    name: String,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    secret: Secret,
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
    /// The inbox, by name or id.
    inbox: String,
    /// Its new name.
    #[arg(long)]
    name: Option<String>,
    /// Whether it may be read.
    #[arg(long, value_name = "true|false")]
    enabled: Option<bool>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    secret: Secret,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The inbox, by name or id.
    inbox: String,
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
            Self::Update(update) => update.run().await,
            Self::Check(one) => check::run(one).await,
            Self::Show(one) => {
                let mut client = one.client.connect().await?;
                print(&get(&mut client, &one.inbox).await?, one.json);
                Ok(())
            }
            Self::Remove(one) => {
                let mut client = one.client.connect().await?;
                let request = pb::DeleteInboxRequest {
                    inbox: one.inbox.clone(),
                    etag: String::new(),
                };
                client.inbox.delete_inbox(request).await?;
                out::complain(format!("removed {}", one.inbox));
                Ok(())
            }
            Self::Test(one) => {
                let mut client = one.client.connect().await?;
                let request = pb::TestInboxRequest {
                    target: Some(pb::test_inbox_request::Target::Inbox(one.inbox)),
                };
                let answer = client.inbox.test_inbox(request).await?.into_inner();
                let found = pb::TestConnectionResponse {
                    succeeded: answer.succeeded,
                    summary: answer.summary,
                    stages: answer.stages,
                    tls_version: answer.tls_version,
                    tls_cipher: answer.tls_cipher,
                    peer_certificate: answer.peer_certificate,
                };
                tell(&found, one.json)
            }
        }
    }
}

impl Add {
    async fn run(self) -> Outcome {
        let mut inbox = pb::Inbox {
            name: self.name,
            enabled: !self.disabled,
            ..pb::Inbox::default()
        };
        self.fields.apply(&mut inbox)?;
        inbox.secret = Some(self.secret.read_or_ask(&inbox.username)?);
        let mut client = self.client.connect().await?;
        let request = pb::CreateInboxRequest { inbox: Some(inbox) };
        let answer = client.inbox.create_inbox(request).await?.into_inner();
        let inbox = answer.inbox.unwrap_or_default();
        print(&inbox, self.json);
        if !self.json {
            out::complain(format!("next: mailfactor inbox test {:?}", inbox.name));
        }
        Ok(())
    }
}

impl Update {
    async fn run(self) -> Outcome {
        let mut client = self.client.connect().await?;
        let mut inbox = get(&mut client, &self.inbox).await?;
        let mut paths = self.fields.apply(&mut inbox)?;
        if let Some(name) = self.name {
            inbox.name = name;
            paths.push("name");
        }
        if let Some(enabled) = self.enabled {
            inbox.enabled = enabled;
            paths.push("enabled");
        }
        inbox.secret = self.secret.read()?;
        if inbox.secret.is_some() {
            paths.push("secret");
        }
        if paths.is_empty() {
            return Err(Failure::advise(
                "nothing was named to change",
                "see `mailfactor inbox update --help`",
            ));
        }
        let mask = prost_types::FieldMask {
            paths: paths.into_iter().map(str::to_owned).collect(),
        };
        let request = pb::UpdateInboxRequest {
            inbox: Some(inbox),
            update_mask: Some(mask),
        };
        let answer = client.inbox.update_inbox(request).await?.into_inner();
        print(&answer.inbox.unwrap_or_default(), self.json);
        Ok(())
    }
}

impl List {
    async fn run(self) -> Outcome {
        let mut client = self.client.connect().await?;
        let answer = client.inbox.list_inboxes(pb::ListInboxesRequest {}).await?;
        let inboxes = answer.into_inner().inboxes;
        if self.json {
            out::json(&inboxes.iter().map(value).collect());
            return Ok(());
        }
        let rows: Vec<_> = inboxes.iter().map(row).collect();
        let headers = [
            "name",
            "state",
            "protocol",
            "server",
            "security",
            "login",
            "last check",
            "read",
            "matched",
            "last error",
        ];
        out::table(&headers, &rows);
        Ok(())
    }
}

async fn get(client: &mut Client, inbox: &str) -> Result<pb::Inbox, Failure> {
    let request = pb::GetInboxRequest {
        inbox: inbox.to_owned(),
    };
    let answer = client.inbox.get_inbox(request).await?.into_inner();
    Ok(answer.inbox.unwrap_or_default())
}

fn print(inbox: &pb::Inbox, json: bool) {
    if json {
        out::json(&value(inbox));
        return;
    }
    let status = inbox.status.clone().unwrap_or_default();
    let copy = if inbox.keep_copy() {
        "stays"
    } else {
        "is deleted once read"
    };
    let interval = inbox.interval.unwrap_or_default().seconds;
    out::pairs(&[
        ("inbox", inbox.inbox_id.clone()),
        ("name", inbox.name.clone()),
        ("state", state(inbox).to_owned()),
        ("protocol", protocol(inbox)),
        ("server", format!("{}:{}", inbox.host, inbox.port)),
        ("security", show::security_word(inbox.security()).to_owned()),
        ("login", inbox.username.clone()),
        ("secret", show::secret(inbox.secret.as_ref())),
        ("server name", inbox.server_name.clone()),
        ("copy on server", copy.to_owned()),
        ("checked every", format!("{interval} s")),
        ("last check", show::time(status.last_check_at.as_ref())),
        ("last success", show::time(status.last_success_at.as_ref())),
        ("last error", status.last_error),
        ("next check", show::time(status.next_check_at.as_ref())),
        ("messages read", status.messages_read.to_string()),
        ("reports matched", status.reports_matched.to_string()),
    ]);
    for warning in &inbox.warnings {
        out::complain(format!("warning: {warning}"));
    }
}

fn row(inbox: &pb::Inbox) -> Vec<String> {
    let status = inbox.status.clone().unwrap_or_default();
    vec![
        inbox.name.clone(),
        state(inbox).to_owned(),
        protocol(inbox),
        format!("{}:{}", inbox.host, inbox.port),
        show::security_word(inbox.security()).to_owned(),
        inbox.username.clone(),
        show::time(status.last_check_at.as_ref()),
        status.messages_read.to_string(),
        status.reports_matched.to_string(),
        status.last_error,
    ]
}

fn state(inbox: &pb::Inbox) -> &'static str {
    match (inbox.enabled, inbox.automatic_check) {
        (false, _) => "disabled",
        (true, true) => "automatic",
        (true, false) => "on request",
    }
}

fn protocol(inbox: &pb::Inbox) -> String {
    show::word(inbox.protocol().as_str_name(), "INBOX_PROTOCOL_")
}

fn value(inbox: &pb::Inbox) -> Value {
    let status = inbox.status.clone().unwrap_or_default();
    json!({
        "inbox_id": inbox.inbox_id,
        "name": inbox.name,
        "enabled": inbox.enabled,
        "automatic_check": inbox.automatic_check,
        "keep_copy": inbox.keep_copy(),
        "interval_seconds": inbox.interval.unwrap_or_default().seconds,
        "protocol": inbox.protocol().as_str_name(),
        "host": inbox.host,
        "port": inbox.port,
        "security": inbox.security().as_str_name(),
        "username": inbox.username,
        "secret": show::secret(inbox.secret.as_ref()),
        "server_name": inbox.server_name,
        "ca_certificates": inbox.ca_certificates,
        "ignore_certificate_errors": inbox.ignore_certificate_errors,
        "warnings": inbox.warnings,
        "status": {
            "checking": status.checking,
            "last_check_at": show::time_value(status.last_check_at.as_ref()),
            "last_success_at": show::time_value(status.last_success_at.as_ref()),
            "last_error": status.last_error,
            "failures": status.failures,
            "next_check_at": show::time_value(status.next_check_at.as_ref()),
            "messages_read": status.messages_read,
            "reports_matched": status.reports_matched,
        },
        "created_at": show::time_value(inbox.created_at.as_ref()),
        "updated_at": show::time_value(inbox.updated_at.as_ref()),
        "etag": inbox.etag,
    })
}
