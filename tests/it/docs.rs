//! The documentation says what the code does: generated parts are up to date, named things exist.
//!
//! `MAILFACTOR_UPDATE=1 cargo test --test it docs` rewrites the generated parts of README.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use mailfactor::{
    config,
    domain::{
        account::Security,
        preset::{Preset, Senders},
    },
    pb,
};
use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto, source_code_info::Location};

/// The documents for people.
const DOCUMENTS: [&str; 3] = ["README.md", "SECURITY.md", "CHANGELOG.md"];

#[test]
fn the_configuration_reference_is_the_default() {
    keep("configuration", &format!("```toml\n{}```\n", config::DEFAULT));
}

#[test]
fn the_rpc_table_is_the_protocol() {
    let mut table = "| RPC | What it does | Roles |\n|---|---|---|\n".to_owned();
    for rpc in rpcs() {
        table += &format!("| {} | {} | {} |\n", rpc.name, rpc.summary, rpc.roles);
    }
    keep("rpcs", &table);
}

#[test]
fn the_table_of_presets_is_that_of_the_code() {
    let mut table = "| Preset | Server | Ports | The secret | Senders |\n|---|---|---|---|---|\n".to_owned();
    for preset in Preset::all() {
        let port = |(port, security): &(u16, Security)| format!("{port} {}", security.name());
        let ports: Vec<String> = preset.ports.iter().map(port).collect();
        let senders = match preset.senders {
            Senders::Any => String::new(),
            Senders::Usually(domains) => format!("usually at {}", domains.join(", ")),
            Senders::Only(domains) => format!("at {}", domains.join(", ")),
        };
        table += &format!(
            "| `{}` {} | {} | {} | {} | {senders} |\n",
            preset.name,
            preset.title,
            if preset.is_other() {
                "you name it".to_owned()
            } else {
                preset.hosts.join(", ")
            },
            ports.join(", "),
            preset.secret,
        );
    }
    keep("presets", &table);
}

#[test]
fn the_fields_of_other_products_have_their_places() {
    keep("products", &super::products::table::markdown());
}

#[test]
fn every_rpc_names_its_roles() {
    let names = ["admin", "auditor", "authenticator", "endpoint"];
    for rpc in rpcs() {
        let known = !rpc.roles.is_empty() && rpc.roles.split(", ").all(|role| names.contains(&role));
        assert!(
            known,
            "{}: the proto comment must end with `Roles: ...`, found {:?}",
            rpc.name, rpc.roles
        );
    }
}

#[test]
fn the_table_of_reasons_is_complete() {
    let documented = words(&section("README.md", "### Errors"), |word| {
        word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    });
    let mut sent = BTreeSet::new();
    for file in files_below("src/grpc") {
        if file.to_string_lossy().contains("test") {
            continue;
        }
        // Every reason is a text of its own; gRPC's own codes are not sent as texts.
        for text in fs::read_to_string(&file).unwrap().split('"').skip(1).step_by(2) {
            if text.contains('_') && text.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                sent.insert(text.to_owned());
            }
        }
    }
    let codes = status_codes();
    let missing: Vec<_> = sent
        .iter()
        .filter(|reason| {
            !documented.contains(*reason) && !codes.contains(reason.as_str()) && *reason != "SERVICE_UNKNOWN"
        })
        .collect();
    assert!(
        missing.is_empty(),
        "README.md, Errors: {missing:?} are sent and not in the table"
    );
    let dead: Vec<_> = documented
        .iter()
        .filter(|reason| !sent.contains(*reason) && !codes.contains(reason.as_str()))
        .collect();
    assert!(
        dead.is_empty(),
        "README.md, Errors: {dead:?} are in the table and never sent"
    );
    // What clients compare with is the enum of the protocol: it has the same reasons. Those of one word cannot be told from other
    // texts here.
    let listed: BTreeSet<String> = (1..)
        .map_while(|number| pb::v1::ErrorReason::try_from(number).ok())
        .map(|reason| {
            reason
                .as_str_name()
                .trim_start_matches("ERROR_REASON_")
                .to_owned()
        })
        .filter(|reason| reason.contains('_'))
        .collect();
    let sent: BTreeSet<String> = sent
        .into_iter()
        .filter(|reason| !codes.contains(reason.as_str()) && reason != "SERVICE_UNKNOWN")
        .collect();
    assert_eq!(
        listed, sent,
        "proto/mailfactor/v1/errors.proto, ErrorReason: not the reasons that are sent"
    );
}

#[test]
fn every_metric_named_is_measured_and_every_one_measured_is_named() {
    let measured: BTreeSet<String> = files_below("src")
        .iter()
        .flat_map(|file| metrics_in(file, true))
        .collect();
    let mut places: Vec<PathBuf> = files_below("deploy");
    places.push(root().join("README.md"));
    for file in places {
        for name in metrics_in(&file, false) {
            let plain = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix));
            let known = measured.contains(&name) || plain.is_some_and(|plain| measured.contains(plain));
            assert!(
                known,
                "{} names the metric {name}, which nothing in src measures",
                file.display()
            );
        }
    }
    let named: BTreeSet<String> = metrics_in(&root().join("README.md"), false).into_iter().collect();
    let missing: Vec<_> = measured.difference(&named).collect();
    assert!(
        missing.is_empty(),
        "README.md, Metrics: {missing:?} are not in the table"
    );
}

/// Every command line in the documents and in deploy/ uses commands and flags that exist.
#[test]
fn commands_and_flags_exist() {
    let mut helps: BTreeMap<Vec<String>, String> = BTreeMap::new();
    let mut places: Vec<PathBuf> = files_below("deploy");
    places.extend(DOCUMENTS.map(|name| root().join(name)));
    places.push(root().join("docs/repositories.md"));
    let mut checked = 0;
    for file in places {
        let text = fs::read_to_string(&file).unwrap().replace("\\\n", " ");
        for line in text.lines() {
            for command in commands(line) {
                let help = helps
                    .entry(command.path.clone())
                    .or_insert_with(|| help(&command.path));
                for flag in &command.flags {
                    let known = words(help, |word| word == flag);
                    assert!(
                        !known.is_empty(),
                        "{}: `{flag}` is no flag of {:?}",
                        file.display(),
                        command.path
                    );
                }
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "only {checked} commands were found");
}

#[test]
fn links_lead_somewhere() {
    for name in DOCUMENTS {
        let text = fs::read_to_string(root().join(name)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                assert!(root().join(file).exists(), "{name}: {link} does not exist");
            }
        }
    }
}

/// Compares what stands between the markers of this name in README.md, or rewrites it.
fn keep(name: &str, wanted: &str) {
    let (begin, end) = (
        format!("<!-- begin {name}: generated -->\n"),
        format!("<!-- end {name} -->"),
    );
    let file = root().join("README.md");
    let text = fs::read_to_string(&file).unwrap();
    let start = text
        .find(&begin)
        .unwrap_or_else(|| panic!("README.md has no {begin}"))
        + begin.len();
    let stop = text[start..]
        .find(&end)
        .unwrap_or_else(|| panic!("README.md has no {end}"))
        + start;
    if env::var_os("MAILFACTOR_UPDATE").is_some() {
        // Another test may be rewriting another part: each reads, changes and writes under one lock.
        static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _writing = WRITING.lock();
        let text = fs::read_to_string(&file).unwrap();
        let start = text.find(&begin).unwrap() + begin.len();
        let stop = text[start..].find(&end).unwrap() + start;
        fs::write(&file, format!("{}{wanted}{}", &text[..start], &text[stop..])).unwrap();
        return;
    }
    assert_eq!(
        &text[start..stop],
        wanted,
        "README.md, {name}, is out of date: MAILFACTOR_UPDATE=1 cargo test --test it docs"
    );
}

/// One line of the table of RPCs.
struct Rpc {
    name: String,
    summary: String,
    roles: String,
}

fn rpcs() -> Vec<Rpc> {
    let set = FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap();
    let mut rpcs = Vec::new();
    for file in set.file.iter().filter(|file| file.package() == "mailfactor.v1") {
        let locations = &file.source_code_info.as_ref().unwrap().location;
        for (index, service) in file.service.iter().enumerate() {
            for (at, method) in service.method.iter().enumerate() {
                // 6: services of a file; 2: methods of a service (descriptor.proto).
                let path = [6, i32::try_from(index).unwrap(), 2, i32::try_from(at).unwrap()];
                rpcs.push(rpc(service.name(), method, comment(locations, &path)));
            }
        }
    }
    assert!(rpcs.len() > 10, "only {} RPCs were found", rpcs.len());
    rpcs
}

fn comment<'a>(locations: &'a [Location], path: &[i32]) -> &'a str {
    locations
        .iter()
        .find(|location| location.path == path)
        .map_or("", Location::leading_comments)
}

fn rpc(service: &str, method: &MethodDescriptorProto, comment: &str) -> Rpc {
    let mut paragraphs = comment.split("\n\n").map(|paragraph| {
        paragraph
            .lines()
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ")
            .trim()
            .to_owned()
    });
    let first = paragraphs.next().unwrap_or_default();
    let summary = first
        .split_once(". ")
        .map_or(first.clone(), |(sentence, _)| format!("{sentence}."));
    let roles = comment
        .lines()
        .find_map(|line| line.trim().strip_prefix("Roles: "))
        .map(|roles| roles.trim_end_matches('.').to_owned());
    Rpc {
        name: format!("`{service}/{}`", method.name()),
        summary,
        roles: roles.unwrap_or_default(),
    }
}

/// A command line: the words that choose the command, and its flags.
struct CommandLine {
    path: Vec<String>,
    flags: Vec<String>,
}

/// The command lines in a line of text, in a shell's or a list's notation.
fn commands(line: &str) -> Vec<CommandLine> {
    let plain = line.replace(['"', '[', ']', ',', '\''], " ");
    let groups = [
        "caller",
        "user",
        "account",
        "policy",
        "event",
        "sending",
        "outbox",
        "challenge",
        "template",
    ];
    let singles = ["serve", "demo", "check", "migrate", "health"];
    let mut found = Vec::new();
    for piece in plain.split(['`', '#', '|', ';', '}', '(']) {
        let words: Vec<&str> = piece.split_whitespace().collect();
        let Some(program) = words
            .iter()
            .position(|word| *word == "mailfactor" || word.ends_with("/mailfactor"))
        else {
            continue;
        };
        let rest = &words[program + 1..];
        let Some(at) = rest
            .iter()
            .position(|word| groups.contains(word) || singles.contains(word))
        else {
            continue;
        };
        // Between the program and the command stand only flags and their values.
        if at > 0 && !rest[0].starts_with('-') {
            continue;
        }
        let mut path = vec![rest[at].to_owned()];
        if groups.contains(&rest[at]) {
            path.extend(rest.get(at + 1).map(|word| (*word).to_owned()));
            // A group within a group.
            if path.ends_with(&["dkim".to_owned()]) {
                path.extend(rest.get(at + 2).map(|word| (*word).to_owned()));
            }
        }
        let flags = rest.iter().filter(|word| word.starts_with("--"));
        found.push(CommandLine {
            path,
            flags: flags
                .map(|flag| flag.split('=').next().unwrap_or(flag).to_owned())
                .collect(),
        });
    }
    found
}

fn help(path: &[String]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_mailfactor"))
        .args(path)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "{path:?} is no command");
    String::from_utf8(output.stdout).unwrap()
}

fn metrics_in(file: &Path, quoted: bool) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let prefix = if quoted { "\"mailfactor_" } else { "mailfactor_" };
    text.match_indices(prefix)
        .filter_map(|(at, _)| {
            let name: String = text[at + usize::from(quoted)..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            // Names that a unit test makes for itself.
            (!name.contains("_test_")).then_some(name)
        })
        .collect()
}

fn words(text: &str, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .filter(|word| wanted(word))
        .map(str::to_owned)
        .collect()
}

/// A section of a document: from its heading to the next of any rank.
fn section(document: &str, heading: &str) -> String {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let start = text
        .find(heading)
        .unwrap_or_else(|| panic!("{document} has no {heading}"))
        + heading.len();
    let rest = &text[start..];
    rest[..rest.find("\n#").unwrap_or(rest.len())].to_owned()
}

fn status_codes() -> BTreeSet<&'static str> {
    BTreeSet::from([
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "DATA_LOSS",
    ])
}

fn files_below(directory: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut waiting = vec![root().join(directory)];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
