//! The shape of the house, enforced: which room may use which, how long a file may be, no circles.
//!
//! The scanner reads `src/**/*.rs` as text, without comments, strings and tests, and looks for `crate::ROOM` and
//! `super::` paths. It needs no build of the crate, so it also works while the crate does not compile.

#![cfg(test)] // Says to clippy that every function here belongs to tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Who may use whom. A room that is not here is a finding: add it to the table in the design, then here.
const TABLE: &[(&str, &[&str])] = &[
    ("failpoints", &[]),
    ("sync", &[]),
    ("secret_files", &[]),
    ("fuzz", &["domain", "config", "mail", "grpc", "repository"]),
    ("domain", &[]),
    ("store", &["domain", "sync"]),
    ("repository", &["domain"]),
    ("config", &["domain", "secret_files"]),
    ("system", &["domain"]),
    ("mail", &["domain", "store", "sync", "secret_files"]),
    ("factor", &["domain", "store", "repository", "sync"]),
    ("policy", &["domain", "store", "mail", "sync", "secret_files"]),
    ("pb", &[]),
    ("grpc", &["domain", "factor", "policy", "pb", "sync"]),
    ("lifecycle", &[]),
    ("telemetry", &["config"]),
    (
        "app",
        &[
            "domain",
            "store",
            "repository",
            "config",
            "secret_files",
            "system",
            "mail",
            "factor",
            "policy",
            "grpc",
            "lifecycle",
            "telemetry",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "config",
            "telemetry",
            "lifecycle",
            "pb",
            "system",
            "domain",
        ],
    ),
    ("main", &["cli"]),
];

/// Lines of a file without its tests: at the most, for nine files in ten, and for half of them.
const LONGEST: usize = 600;
const NINE_IN_TEN: usize = 350;
const MEDIAN: usize = 150;

/// What no file may say, and why. `pb.rs` is exempt: it includes generated code.
const FORBIDDEN: &[(&str, &str)] = &[
    ("todo!", "finish it, or leave the call out"),
    ("unimplemented!", "finish it, or leave the call out"),
    (
        "#[allow(",
        "use `#[expect(lint, reason = \"...\")]`: it complains when it is no longer needed",
    ),
    (
        "#![allow(",
        "use `#![expect(lint, reason = \"...\")]`: it complains when it is no longer needed",
    ),
];

/// One file of the house.
struct File {
    /// Below `src`, with `/`.
    name: String,
    text: String,
}

impl File {
    /// The first element of its module path: `store/sql/mod.rs` and `store.rs` are in the room `store`.
    fn room(&self) -> &str {
        let first = self.name.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The modules it lies in: `store/sql/rows.rs` is `["store", "sql", "rows"]`, a `mod.rs` is its directory.
    fn module(&self) -> Vec<&str> {
        let mut path: Vec<&str> = self.name.trim_end_matches(".rs").split('/').collect();
        if path.last() == Some(&"mod") {
            path.pop();
        }
        path
    }

    fn is_test(&self) -> bool {
        self.name.ends_with("tests.rs")
            || self.name.ends_with("contract.rs")
            || self.name.contains("/contract/")
    }

    /// The text before its tests.
    fn without_tests(&self) -> &str {
        let end = test_module(&self.text).unwrap_or(self.text.len());
        &self.text[..end]
    }

    fn lines(&self) -> usize {
        self.without_tests().lines().count()
    }
}

/// Where the tests of a file begin: the first `#[cfg(test)]` at the start of a line that stands before a `mod`. Code for
/// tests further up (a constructor, a field) is part of the file.
fn test_module(text: &str) -> Option<usize> {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("#[cfg(test)]") {
            let after = text[offset + line.len()..]
                .lines()
                .find(|next| !next.starts_with("#[") && !next.starts_with("//"));
            if after.is_some_and(|next| next.starts_with("mod ") || next.starts_with("pub")) {
                return Some(offset);
            }
        }
        offset += line.len();
    }
    None
}

/// The text with comments, strings and characters blanked, so that only code is searched.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest, bytes[..at].last().copied()) {
            length
        } else if rest.starts_with('"') {
            quoted(rest, '"')
        } else {
            character(rest).unwrap_or_default()
        };
        if skipped == 0 {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            code.push_str(&rest[..next]);
            at += next;
        } else {
            code.push(' ');
            code.extend(rest[..skipped].matches('\n').map(|_| '\n'));
            at += skipped;
        }
    }
    code
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of a raw string that starts here, `r"..."` or `br#"..."#`, unless an identifier ends here.
fn raw_string(rest: &str, before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let prefix = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = prefix.len() - prefix.trim_start_matches('#').len();
    let body = prefix[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - body.len();
    Some(
        body.find(&close)
            .map_or(rest.len(), |end| start + end + close.len()),
    )
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// The length of a character literal that starts here; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    if body.starts_with('\\') {
        return Some(quoted(rest, '\''));
    }
    let first = body.chars().next()?;
    body[first.len_utf8()..]
        .starts_with('\'')
        .then(|| 2 + first.len_utf8())
}

/// Every module path of the crate that a piece of code names, as its elements after `crate`. Groups are opened:
/// `use crate::{a::B, c}` names `a::B` and `c`. `super::` is resolved against the file's module.
fn named_paths(code: &str, module: &[&str]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if starts_word(code, at) {
            open_path(&code[at + "crate::".len()..], &[], &mut found);
        }
    }
    for (at, _) in code.match_indices("super::") {
        // Only the first of `super::super::` begins a path.
        if starts_word(code, at) && !code[..at].ends_with("super::") {
            let (mut rest, mut base) = (&code[at..], module.to_vec());
            while let Some(shorter) = rest.strip_prefix("super::") {
                rest = shorter;
                base.pop();
            }
            let base: Vec<String> = base.into_iter().map(str::to_owned).collect();
            open_path(rest, &base, &mut found);
        }
    }
    found
}

fn starts_word(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '$')
}

/// Reads one path, or a group of them, and returns what follows it.
fn open_path<'a>(mut rest: &'a str, base: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = base.to_vec();
    loop {
        rest = rest.trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            return open_group(group, &path, found);
        }
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        if end > 0 && &rest[..end] != "self" {
            path.push(rest[..end].to_owned());
        }
        rest = rest[end..].trim_start();
        match rest.strip_prefix("::") {
            Some(more) if end > 0 => rest = more,
            _ => break,
        }
    }
    if !path.is_empty() {
        found.push(path);
    }
    rest
}

fn open_group<'a>(mut rest: &'a str, base: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        if rest.is_empty() {
            return rest;
        }
        rest = open_path(rest, base, found);
        // Past the comma, or `as name`, or a glob.
        let end = rest.find([',', '}']).unwrap_or(rest.len());
        rest = rest[end..].strip_prefix(',').unwrap_or(&rest[end..]);
    }
}

/// The rooms that a file uses beside its own.
fn rooms_used(file: &File) -> BTreeSet<String> {
    let code = code_only(file.without_tests());
    let mut used: BTreeSet<String> = named_paths(&code, &file.module())
        .into_iter()
        .filter_map(|path| path.into_iter().next())
        .collect();
    // The binary names the library by its name.
    if file.room() == "main" {
        for (at, _) in code.match_indices("mailfactor::") {
            let mut found = Vec::new();
            open_path(&code[at + "mailfactor::".len()..], &[], &mut found);
            used.extend(found.into_iter().filter_map(|path| path.into_iter().next()));
        }
    }
    used.remove(file.room());
    used
}

/// A circle among the nodes of a graph, as the nodes it runs through, if there is one.
fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        node: &str,
        graph: &BTreeMap<String, BTreeSet<String>>,
        trail: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(start) = trail.iter().position(|seen| seen == node) {
            let mut found = trail[start..].to_vec();
            found.push(node.to_owned());
            return Some(found);
        }
        if done.contains(node) {
            return None;
        }
        trail.push(node.to_owned());
        for next in graph.get(node).into_iter().flatten() {
            if let Some(found) = walk(next, graph, trail, done) {
                return Some(found);
            }
        }
        trail.pop();
        done.insert(node.to_owned());
        None
    }
    let mut done = BTreeSet::new();
    graph
        .keys()
        .find_map(|node| walk(node, graph, &mut Vec::new(), &mut done))
}

fn house() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut waiting: Vec<PathBuf> = vec![root.clone()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(File {
                    name: path
                        .strip_prefix(&root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .replace('\\', "/"),
                    text: fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(files.len() > 20, "the scanner found only {} files", files.len());
    files
}

fn assert_none(findings: &[String], what_to_do: &str) {
    assert!(findings.is_empty(), "\n{}\n\n{what_to_do}\n", findings.join("\n"));
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let table: BTreeMap<&str, &[&str]> = TABLE.iter().copied().collect();
    let mut findings = Vec::new();
    for file in house()
        .iter()
        .filter(|file| !file.is_test() && file.name != "lib.rs")
    {
        let Some(may_use) = table.get(file.room()) else {
            findings.push(format!(
                "src/{} is in a room that the table does not know",
                file.name
            ));
            continue;
        };
        for used in rooms_used(file) {
            // `crate::name!` and items of the crate's root are not rooms.
            if table.contains_key(used.as_str()) && !may_use.contains(&used.as_str()) {
                findings.push(format!(
                    "src/{} uses `{used}`; `{}` may use: {}",
                    file.name,
                    file.room(),
                    if may_use.is_empty() {
                        "nothing".to_owned()
                    } else {
                        may_use.join(", ")
                    }
                ));
            }
        }
    }
    assert_none(
        &findings,
        "Move what is shared into a room that both may use (a value or a rule: domain), or pass it in from `app`.",
    );
}

#[test]
fn rooms_form_no_circle() {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in house()
        .iter()
        .filter(|file| !file.is_test() && file.name != "lib.rs")
    {
        graph
            .entry(file.room().to_owned())
            .or_default()
            .extend(rooms_used(file));
    }
    let found = circle(&graph);
    assert!(
        found.is_none(),
        "rooms use each other in a circle: {found:?}; let one of them take the other as an argument"
    );
}

#[test]
fn files_are_short() {
    let mut lengths: Vec<(usize, String)> = house()
        .iter()
        .filter(|file| !file.is_test())
        .map(|file| (file.lines(), file.name.clone()))
        .collect();
    lengths.sort();
    let too_long: Vec<String> = lengths
        .iter()
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, name)| format!("src/{name} has {lines} lines without its tests; {LONGEST} is the most"))
        .collect();
    assert_none(
        &too_long,
        "Split it where it does two things. Tests may go to a sibling `*_tests.rs`.",
    );
    let (median, _) = &lengths[lengths.len() / 2];
    assert!(
        *median <= MEDIAN,
        "the median file has {median} lines; {MEDIAN} is the most: split the long ones"
    );
    let (ninth, name) = &lengths[lengths.len() * 9 / 10];
    assert!(
        *ninth <= NINE_IN_TEN,
        "src/{name}, longer than nine in ten, has {ninth} lines; {NINE_IN_TEN} is the most"
    );
}

#[test]
fn files_say_what_they_are_for() {
    let findings: Vec<String> = house()
        .iter()
        .filter(|file| !file.is_test() && !file.text.starts_with("//! "))
        .map(|file| format!("src/{} does not start with `//! `", file.name))
        .collect();
    assert_none(
        &findings,
        "Begin each file with a sentence that says what it is for.",
    );
}

#[test]
fn files_leave_nothing_open() {
    let mut findings = Vec::new();
    for file in house().iter().filter(|file| file.name != "pb.rs") {
        let code = code_only(&file.text);
        for (number, line) in code.lines().enumerate() {
            for (word, instead) in FORBIDDEN {
                if line.contains(word) {
                    findings.push(format!("src/{}:{}: `{word}`: {instead}", file.name, number + 1));
                }
            }
        }
    }
    assert_none(&findings, "These are not for the main branch.");
}

mod scanner {
    //! The scanner itself, on small samples.
    use super::*;

    fn file(name: &str, text: &str) -> File {
        File {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    fn used(name: &str, text: &str) -> Vec<String> {
        rooms_used(&file(name, text)).into_iter().collect()
    }

    #[test]
    fn finds_plain_grouped_and_qualified_paths() {
        let text = "use crate::domain::clock::Clock;\nuse crate::{\n    store::{self, Outbox as _},\n    mail,\n};\nfn f() { crate::grpc::serve() }";
        assert_eq!(used("factor/start.rs", text), ["domain", "grpc", "mail", "store"]);
    }

    #[test]
    fn resolves_super() {
        assert_eq!(
            used("store/sql/mod.rs", "use super::super::mail::{Worker, render};"),
            ["mail"]
        );
        assert_eq!(
            used("store/sql/rows.rs", "use super::super::Outbox;"),
            Vec::<String>::new()
        );
        assert_eq!(used("store/mod.rs", "use super::mail;"), ["mail"]);
    }

    #[test]
    fn sees_no_comments_strings_or_own_room() {
        let text = r##"
            // crate::mail
            /* crate::mail /* crate::grpc */ crate::mail */
            const A: &str = "crate::mail \" crate::mail";
            const B: &str = r#"crate::mail " "#;
            const C: char = '"';
            fn f<'a>(x: &'a str) { crate::store::x() }
            macro_rules! m { () => { $crate::mail } }
        "##;
        assert_eq!(used("store/mod.rs", text), Vec::<String>::new());
    }

    #[test]
    fn sees_no_tests() {
        let text = "use crate::domain;\n#[cfg(test)]\nmod tests {\n    use crate::mail;\n}\n";
        assert_eq!(used("store/mod.rs", text), ["domain"]);
        assert_eq!(file("a.rs", text).lines(), 1);
    }

    #[test]
    fn counts_a_test_helper_as_code() {
        let text = "//! A.\n#[cfg(test)]\nconst A: u8 = 1;\nfn f() {}\n#[cfg(test)]\n#[path = \"a_tests.rs\"]\nmod tests;\n";
        assert_eq!(file("a.rs", text).lines(), 4);
    }

    #[test]
    fn reads_the_binary() {
        assert_eq!(used("main.rs", "fn main() { mailfactor::cli::run() }"), ["cli"]);
    }

    #[test]
    fn finds_circles() {
        let graph = |edges: &[(&str, &str)]| {
            let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (from, to) in edges {
                graph
                    .entry((*from).to_owned())
                    .or_default()
                    .insert((*to).to_owned());
            }
            graph
        };
        assert_eq!(circle(&graph(&[("a", "b"), ("a", "c"), ("b", "c")])), None);
        assert_eq!(
            circle(&graph(&[("a", "b"), ("b", "c"), ("c", "b")])).unwrap(),
            ["b", "c", "b"]
        );
    }

    #[test]
    fn the_table_has_no_circle() {
        let graph = TABLE
            .iter()
            .map(|(room, uses)| {
                (
                    (*room).to_owned(),
                    uses.iter().map(|&used| used.to_owned()).collect(),
                )
            })
            .collect();
        assert_eq!(circle(&graph), None);
    }
}
