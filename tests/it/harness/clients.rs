//! Real servers and clients that others wrote: where they are, and what to do where they are not.
//!
//! `scripts/prepare` puts them in place. A test begins with
//! `let Some(grpcurl) = clients::grpcurl() else { return };`: without the program it says so and skips, or fails where
//! `MAILFACTOR_REQUIRE_SERVERS=1` is set, as in CI.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

pub use super::installed::{program, require};

/// grpcurl, a client that learns the protocol by reflection.
pub fn grpcurl() -> Option<PathBuf> {
    require(tool("grpcurl"), "grpcurl")
}

/// The health probe that Kubernetes used before it had its own.
pub fn grpc_health_probe() -> Option<PathBuf> {
    require(tool("grpc_health_probe"), "grpc_health_probe")
}

/// A Python that has grpcio and its tools, and dkimpy.
pub fn python() -> Option<PathBuf> {
    let python = tools().join("python/bin/python");
    require(python.exists().then_some(python), "Python with grpcio")
}

/// What a client said.
#[derive(Debug)]
pub struct Said {
    /// Whether it ended with status 0.
    pub success: bool,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs a client to its end, off the run-time's threads. The clients have deadlines of their own.
pub async fn run<A: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> Said {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let shown = format!("{command:?}");
    let output: Output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    Said {
        success: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Generates the Python client from our protocol into a directory.
pub async fn generate_python(python: &Path, into: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let mut arguments = vec![
        "-m".to_owned(),
        "grpc_tools.protoc".to_owned(),
        format!("--proto_path={}", root.display()),
        format!("--python_out={}", into.display()),
        format!("--grpc_python_out={}", into.display()),
    ];
    for file in fs::read_dir(root.join("mailfactor/v1")).unwrap() {
        arguments.push(file.unwrap().path().display().to_string());
    }
    let said = run(python, arguments).await;
    assert!(said.success, "grpc_tools.protoc: {}", said.err);
}

/// A script of `tests/clients`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

fn tool(name: &str) -> Option<PathBuf> {
    let ours = tools().join("bin").join(name);
    ours.is_file().then_some(ours).or_else(|| program(name))
}

fn tools() -> PathBuf {
    env::var_os("MAILFACTOR_TOOLS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"),
        PathBuf::from,
    )
}
