//! `repository`: what the repositories of users know.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Outcome, client::ClientArguments, out};
use crate::pb::v1 as pb;

#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  mailfactor repository list\n  mailfactor repository lookup ann\n  \
                  mailfactor repository lookup 'CORP\\ann' --unmasked\n  mailfactor repository flush"
)]
pub(super) enum Command {
    /// Lists the repositories, and whether they answer.
    List(List),
    /// Looks a user up now: where, and what would be found. Exit code 1 where a start would find nobody to mail.
    Lookup(Lookup),
    /// Forgets the users that the server remembers.
    Flush(Flush),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct Lookup {
    /// The name, as a start would have it.
    user: String,
    /// The repository to look in; without it, all that take the name.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    repository: String,
    /// Shows addresses, names and identifiers as they are. Needs the role `admin`.
    #[arg(long)]
    unmasked: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct Flush {
    /// The repository whose users are forgotten; without it, all.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    repository: String,
    #[command(flatten)]
    client: ClientArguments,
}

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::List(list) => {
                let mut client = list.client.connect().await?;
                let answer = client
                    .repositories
                    .list_repositories(pb::ListRepositoriesRequest {});
                print(&answer.await?.into_inner().repositories, list.json);
                Ok(())
            }
            Self::Lookup(lookup) => {
                let mut client = lookup.client.connect().await?;
                let request = pb::LookUpUserRequest {
                    user: lookup.user,
                    repository: lookup.repository,
                    unmasked: lookup.unmasked,
                };
                let answer = client.repositories.look_up_user(request).await?.into_inner();
                print_findings(&answer.findings, lookup.json);
                for finding in &answer.findings {
                    complain_of_addresses(finding);
                }
                if answer.findings.is_empty() {
                    out::complain("no repository takes a name like this; see `domains` and `bare_names`");
                }
                let decides = answer.findings.iter().find(|finding| finding.decides);
                match decides.map(pb::Finding::result) {
                    Some(pb::LookUpResult::Found) => Ok(()),
                    _ => Err(Failure::Told),
                }
            }
            Self::Flush(flush) => {
                let mut client = flush.client.connect().await?;
                let request = pb::FlushUsersRequest {
                    repository: flush.repository,
                };
                let answer = client.repositories.flush_users(request).await?.into_inner();
                out::say(format_args!("{} remembered user(s) forgotten", answer.forgotten));
                Ok(())
            }
        }
    }
}

fn print(repositories: &[pb::Repository], json: bool) {
    if json {
        let repositories = repositories.iter().map(|repository| {
            json!({
                "name": repository.name,
                "answering": repository.answering,
                "checks_passwords": repository.checks_passwords,
                "health_service": repository.health_service,
            })
        });
        out::json(&repositories.collect());
        return;
    }
    let word = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
    let rows: Vec<Vec<String>> = repositories
        .iter()
        .map(|repository| {
            vec![
                repository.name.clone(),
                word(repository.answering),
                word(repository.checks_passwords),
                repository.health_service.clone(),
            ]
        })
        .collect();
    out::table(
        &["repository", "answers", "checks passwords", "health service"],
        &rows,
    );
}

fn print_findings(findings: &[pb::Finding], json: bool) {
    if json {
        let findings = findings.iter().map(|finding| {
            json!({
                "repository": finding.repository,
                "result": word(finding.result()),
                "decides": finding.decides,
                "address": finding.address,
                "display_name": finding.display_name,
                "locale": finding.locale,
                "user_id": finding.user_id,
                "unusable_addresses": finding.unusable_addresses,
                "unusable_address_count": finding.unusable_address_count,
            })
        });
        out::json(&findings.collect());
        return;
    }
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|finding| {
            vec![
                finding.repository.clone(),
                word(finding.result()).to_owned(),
                if finding.decides { "yes" } else { "no" }.to_owned(),
                finding.address.clone(),
                finding.display_name.clone(),
                finding.locale.clone(),
                finding.user_id.clone(),
            ]
        })
        .collect();
    out::table(
        &[
            "repository",
            "result",
            "decides",
            "address",
            "name",
            "language",
            "user id",
        ],
        &rows,
    );
}

/// Why addresses cannot be used, each reason with how many addresses have it.
fn complain_of_addresses(finding: &pb::Finding) {
    if finding.unusable_address_count == 0 {
        return;
    }
    out::complain(format_args!(
        "{}: {} address(es) of this user cannot be used: {}",
        finding.repository,
        finding.unusable_address_count,
        finding.unusable_addresses.join("; ")
    ));
}

fn word(result: pb::LookUpResult) -> &'static str {
    match result {
        pb::LookUpResult::Unspecified => "",
        pb::LookUpResult::Found => "found",
        pb::LookUpResult::Unknown => "unknown",
        pb::LookUpResult::NoAddress => "no address",
        pb::LookUpResult::Ambiguous => "ambiguous",
        pb::LookUpResult::Unavailable => "unavailable",
    }
}
