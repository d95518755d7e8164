//! Servers and clients of the system: found, or the test skips.

use std::{
    env,
    path::{Path, PathBuf},
};

/// What was found; without it says that the test skips, or fails where nothing may be missing.
pub fn require<T>(found: Option<T>, what: &str) -> Option<T> {
    if found.is_none() {
        let all = env::var("MAILFACTOR_REQUIRE_SERVERS").is_ok_and(|value| value == "1");
        assert!(!all, "{what} is missing: run scripts/prepare");
        eprintln!("SKIPPED: {what} is missing: run scripts/prepare");
    }
    found
}

/// The program of this name on the path, or where the system keeps programs for administrators.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// The newest of Debian's directories `NUMBER/bin` below this one that has the program.
pub fn newest_below(parent: &Path, name: &str) -> Option<PathBuf> {
    let versions = parent.read_dir().ok()?.flatten().filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin").join(name)))
    });
    versions
        .filter(|(_, file)| file.is_file())
        .max()
        .map(|(_, file)| file)
}
