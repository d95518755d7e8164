//! `completions`: the script that lets a shell complete commands and flags.

use clap_complete::Shell;

use super::out;

/// Where each shell looks for it, as help.
const PLACES: &str = "Where to put it:\n  \
    bash   mailfactor completions bash > ~/.local/share/bash-completion/completions/mailfactor\n  \
    zsh    mailfactor completions zsh > \"${fpath[1]}/_mailfactor\"\n  \
    fish   mailfactor completions fish > ~/.config/fish/completions/mailfactor.fish";

/// Which shell.
#[derive(Debug, clap::Args)]
#[command(after_help = PLACES)]
pub(super) struct Completions {
    /// The shell that reads it.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, arguments: &mut clap::Command) {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, arguments, "mailfactor", &mut script);
        out::say(String::from_utf8_lossy(&script).trim_end());
    }
}
