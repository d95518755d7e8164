//! Parses the arguments, runs the command, answers with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    mailfactor::cli::main(std::env::args_os(), std::env::vars_os())
}
