//! Secrets from files, standard input or the terminal; never from arguments that a shell would remember.

use std::{
    convert::Infallible,
    fmt, fs,
    io::{self, BufRead as _, IsTerminal as _},
    path::Path,
    str::FromStr,
};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::{Failure, out};

/// A secret among the arguments: it is never shown.
#[derive(Clone)]
pub(super) struct Hidden(Zeroizing<String>);

impl Hidden {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Hidden {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

/// The first line of a file, or of standard input where the path is `-`.
pub(super) fn from_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    if path == Path::new("-") {
        return from_input();
    }
    let text = fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|error| Failure::say(format!("{} cannot be read: {error}", path.display())))?;
    line(&text)
}

/// Asks on the terminal without showing what is typed; without a terminal, the first line of standard input.
pub(super) fn ask(question: &str) -> Result<Zeroizing<String>, Failure> {
    let stdin = io::stdin();
    let before = if stdin.is_terminal() {
        tcgetattr(&stdin).ok()
    } else {
        None
    };
    if let Some(before) = &before {
        out::ask(question);
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(&stdin, OptionalActions::Flush, &quiet);
    }
    let answer = from_input();
    if let Some(before) = &before {
        let _ = tcsetattr(&stdin, OptionalActions::Flush, before);
        out::complain("");
    }
    answer
}

fn from_input() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = io::stdin().lock().read_line(&mut text);
    read.map_err(|error| Failure::say(format!("standard input cannot be read: {error}")))?;
    line(&text)
}

fn line(text: &str) -> Result<Zeroizing<String>, Failure> {
    match text.lines().next().unwrap_or_default() {
        "" => Err(Failure::say("the secret is empty")),
        line => Ok(Zeroizing::new(line.to_owned())),
    }
}
