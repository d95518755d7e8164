//! `check`: reads the configuration and looks at everything a start would need.

use clap::Args;
use serde_json::json;

use super::{Failure, Here, Outcome, out};
use crate::{
    app::{
        Machine,
        check::{Verdict, check},
    },
    config,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mailfactor check\n  mailfactor --config /etc/mailfactor.toml check --json\n  \
                        mailfactor check --defaults > mailfactor.toml   a configuration to start from, every key explained"
)]
pub(super) struct Check {
    /// Prints the default configuration, every key explained, and checks nothing.
    #[arg(long)]
    defaults: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) async fn run(self, here: &Here, machine: Machine) -> Outcome {
        if self.defaults {
            out::say(config::DEFAULT.trim_end());
            return Ok(());
        }
        let config = here.load()?;
        here.log(&config, Some("error"))?;
        let findings = check(&config, &machine).await;
        let word = |verdict| match verdict {
            Verdict::Good => "ok",
            Verdict::Warning => "warning",
            Verdict::Bad => "fault",
        };
        if self.json {
            let list: Vec<_> = findings
                .iter()
                .map(|found| json!({ "subject": found.subject, "verdict": word(found.verdict), "text": found.text }))
                .collect();
            out::json(&list.into());
        } else {
            let rows: Vec<_> = findings
                .iter()
                .map(|found| {
                    vec![
                        word(found.verdict).to_owned(),
                        found.subject.clone(),
                        found.text.clone(),
                    ]
                })
                .collect();
            out::table(&["", "what", "how it is"], &rows);
        }
        if findings.iter().any(|found| found.verdict == Verdict::Bad) {
            let faults = findings.iter().filter(|found| found.verdict == Verdict::Bad);
            return Err(Failure::Setup(format!("{} fault(s), see above", faults.count())));
        }
        Ok(())
    }
}
