//! `migrate`: brings the database up to date.

use super::{Here, Outcome, out};
use crate::app::{self, Machine};

pub(super) async fn run(here: &Here, machine: Machine) -> Outcome {
    let config = here.load()?;
    here.log(&config, Some("warn"))?;
    let path = config.store.name();
    match app::migrate(&config, &machine).await? {
        0 => out::say(format_args!("{path} is up to date")),
        steps => out::say(format_args!("{path} is up to date after {steps} step(s)")),
    }
    Ok(())
}
