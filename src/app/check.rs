//! Looks at everything a start would need, without starting: keys, database, certificates, repositories. Changes
//! nothing.

use std::path::Path;

use super::{Machine, archive, directory};
use crate::{
    config::{Config, keys},
    domain::account::{Login, Secret},
    secret_files::Shape,
    store::{Accounts, Callers, Inboxes, Probe as _},
};

/// The most bytes of a password.
const MOST_PASSWORD: usize = 4096;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub subject: String,
    /// How it is.
    pub verdict: Verdict,
    /// In words, without secrets.
    pub text: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, but somebody should look at it.
    Warning,
    /// The service would not start, or not work.
    Bad,
}

/// Looks at everything.
pub async fn check(config: &Config, machine: &Machine) -> Vec<Finding> {
    let mut findings = vec![listeners(config), secrets(config)];
    let fresh = archive::is_new(config);
    let keys = keys(config, machine, fresh);
    findings.push(keys);
    if fresh {
        let text = format!(
            "{} is not there yet; the first start makes it",
            config.store.name()
        );
        findings.push(finding("database", Verdict::Good, text));
    } else {
        findings.extend(database(config, machine).await);
    }
    findings.extend(repositories(config).await);
    findings
}

fn finding(subject: impl Into<String>, verdict: Verdict, text: impl Into<String>) -> Finding {
    Finding {
        subject: subject.into(),
        verdict,
        text: text.into(),
    }
}

fn listeners(config: &Config) -> Finding {
    let server = &config.server;
    let (verdict, how) = match &server.tls {
        Some(tls) if tls.client_ca.is_some() => (Verdict::Good, "TLS, client certificates accepted"),
        Some(_) => (Verdict::Good, "TLS"),
        None if server.listen.ip().is_loopback() => (Verdict::Good, "plain text on loopback"),
        None => (
            Verdict::Warning,
            "plain text: API keys and codes cross the network in the clear",
        ),
    };
    finding("server", verdict, format!("{} ({how})", server.listen))
}

/// Files that the configuration names and those that accounts may name are apart, or the configuration would have been refused.
fn secrets(config: &Config) -> Finding {
    let text = match config.secret_files.directories() {
        [] => "accounts name no files: `secrets.directories` is empty".to_owned(),
        directories => {
            let names: Vec<_> = directories
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            format!(
                "{} (apart from the key file and all else that the configuration names)",
                names.join(", ")
            )
        }
    };
    finding("secrets", Verdict::Good, text)
}

/// Whether the file that an account names can be read as its password.
fn secret_file(config: &Config, subject: String, login: Option<&Login>) -> Option<Finding> {
    let Secret::File(path) = &login?.secret else {
        return None;
    };
    let read = config
        .secret_files
        .read(Path::new(path), MOST_PASSWORD, Shape::Line);
    let error = read.err()?;
    let text = format!("the file of its secret, {path}, cannot be used: {error}");
    Some(finding(subject, Verdict::Bad, text))
}

fn keys(config: &Config, machine: &Machine, fresh: bool) -> Finding {
    let path = &config.key_file;
    if fresh && !path.exists() {
        let text = format!("{} is not there yet; the first start makes it", path.display());
        return finding("keys", Verdict::Good, text);
    }
    match keys::load(path, false, &*machine.entropy) {
        Ok(keyring) => {
            let text = format!("{} (newest: {})", path.display(), keyring.newest().as_str());
            finding("keys", Verdict::Good, text)
        }
        Err(error) => finding("keys", Verdict::Bad, error.to_string()),
    }
}

async fn database(config: &Config, machine: &Machine) -> Vec<Finding> {
    let path = config.store.name();
    let bad = |text: String| vec![finding("database", Verdict::Bad, text)];
    let store = match archive::connect(config, machine).await {
        Ok(store) => store,
        Err(error) => return bad(chain(&error)),
    };
    let mut findings = match store.pending_migrations().await {
        Ok(0) => match store.probe().await {
            Ok(()) => vec![finding(
                "database",
                Verdict::Good,
                format!("{path} (up to date, writable)"),
            )],
            Err(error) => bad(format!("{path}: {}", chain(&error))),
        },
        Ok(steps) => {
            let text = format!(
                "{path} is {steps} step(s) behind; the next start or `mailfactor migrate` catches up"
            );
            vec![finding("database", Verdict::Warning, text)]
        }
        Err(error) => bad(format!("{path}: {}", chain(&error))),
    };
    if findings.iter().all(|finding| finding.verdict == Verdict::Good) {
        findings.extend(contents(config, &store).await);
    }
    store.close().await;
    findings
}

async fn contents(config: &Config, store: &crate::store::sql::SqlStore) -> Vec<Finding> {
    let callers = match Callers::list(store).await {
        Ok(callers) if callers.is_empty() => finding(
            "callers",
            Verdict::Warning,
            "none: nobody can call; add one with `mailfactor caller add`",
        ),
        Ok(callers) => finding("callers", Verdict::Good, format!("{} known", callers.len())),
        Err(error) => finding("callers", Verdict::Bad, chain(&error)),
    };
    let mut warnings = Vec::new();
    let accounts = match Accounts::list(store).await {
        Ok(accounts) => {
            for account in &accounts {
                let subject = format!("account {}", account.settings.name);
                let texts = account.settings.warnings().into_iter();
                warnings.extend(texts.map(|text| finding(subject.clone(), Verdict::Warning, text)));
                warnings.extend(secret_file(config, subject, account.settings.login.as_ref()));
            }
            match accounts.iter().find(|account| account.is_default) {
                Some(account) => finding(
                    "accounts",
                    Verdict::Good,
                    format!("{} known, default: {}", accounts.len(), account.settings.name),
                ),
                None => finding(
                    "accounts",
                    Verdict::Warning,
                    "none: no mail goes out; add one with `mailfactor account add`",
                ),
            }
        }
        Err(error) => finding("accounts", Verdict::Bad, chain(&error)),
    };
    for inbox in Inboxes::list_inboxes(store).await.unwrap_or_default() {
        let subject = format!("inbox {}", inbox.settings.name);
        let risks = inbox.settings.risks().into_iter();
        warnings.extend(risks.map(|risk| finding(subject.clone(), Verdict::Warning, risk.text())));
        warnings.extend(secret_file(config, subject, Some(&inbox.settings.login)));
    }
    [callers, accounts].into_iter().chain(warnings).collect()
}

async fn repositories(config: &Config) -> Vec<Finding> {
    let users = &config.users;
    if users.repositories.is_empty() {
        let text = "none: no user is known; configure a [[repository]]";
        return vec![finding("repository", Verdict::Warning, text)];
    }
    // A name that nobody has: the answer does not matter, only that there is one.
    let nobody = crate::repository::UserName::parse("mailfactor-check-nobody");
    let mut findings = Vec::new();
    for repository in &users.repositories {
        let subject = format!("repository {}", repository.name);
        let outcome = match (directory::open(repository, users), &nobody) {
            (Ok(opened), Ok(nobody)) => {
                let look_up = tokio::time::timeout(users.lookup_deadline, opened.find(nobody));
                match look_up.await {
                    Ok(Ok(_)) => {
                        let flaws = opened.flaws().into_iter();
                        findings.extend(flaws.map(|flaw| finding(subject.clone(), Verdict::Warning, flaw)));
                        Ok(())
                    }
                    Ok(Err(error)) => Err(chain(&error)),
                    Err(_) => Err("does not answer in time".to_owned()),
                }
            }
            (Ok(_), Err(_)) => Ok(()),
            (Err(error), _) => Err(chain(&error)),
        };
        findings.push(match outcome {
            Ok(()) => finding(subject, Verdict::Good, "answers"),
            Err(text) => finding(subject, Verdict::Bad, text),
        });
    }
    findings
}

/// An error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
