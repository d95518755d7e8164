//! The protocol as it is compiled: what generators of other languages, loggers and gateways read in it.

use std::collections::BTreeSet;

use mailfactor::pb;
use prost::Message;

/// Descriptors as far as they are looked at here: `prost_types` does not know `debug_redact`.
#[derive(Clone, PartialEq, Message)]
struct Set {
    #[prost(message, repeated, tag = "1")]
    files: Vec<File>,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "4")]
    messages: Vec<Type>,
    #[prost(message, repeated, tag = "6")]
    services: Vec<Service>,
    #[prost(message, tag = "8")]
    options: Option<FileOptions>,
}

#[derive(Clone, PartialEq, Message)]
struct FileOptions {
    #[prost(string, tag = "1")]
    java_package: String,
    #[prost(bool, tag = "10")]
    java_multiple_files: bool,
    #[prost(string, tag = "11")]
    go_package: String,
    #[prost(string, tag = "37")]
    csharp_namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<Field>,
}

#[derive(Clone, PartialEq, Message)]
struct Field {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, tag = "8")]
    options: Option<FieldOptions>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldOptions {
    #[prost(bool, tag = "16")]
    debug_redact: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    methods: Vec<Method>,
}

#[derive(Clone, PartialEq, Message)]
struct Method {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, tag = "4")]
    options: Option<MethodOptions>,
}

#[derive(Clone, PartialEq, Message)]
struct MethodOptions {
    #[prost(int32, tag = "34")]
    idempotency_level: i32,
}

fn files() -> Vec<File> {
    let set = Set::decode(pb::DESCRIPTORS).unwrap();
    let ours = set
        .files
        .into_iter()
        .filter(|file| file.package == "mailfactor.v1");
    ours.collect()
}

#[test]
fn every_file_says_where_generated_code_goes() {
    assert!(files().len() >= 10);
    for file in files() {
        let options = file.options.unwrap_or_default();
        assert!(options.java_multiple_files, "{}", file.name);
        assert_eq!(options.java_package, "mailfactor.v1", "{}", file.name);
        assert_eq!(options.go_package, "mailfactor/v1;mailfactorv1", "{}", file.name);
        assert_eq!(options.csharp_namespace, "Mailfactor.V1", "{}", file.name);
    }
}

/// Loggers and debuggers that print messages leave these out.
#[test]
fn secrets_and_codes_are_redacted_where_messages_are_printed() {
    let mut redacted = BTreeSet::new();
    for message in files().into_iter().flat_map(|file| file.messages) {
        for field in message.fields {
            let name = format!("{}.{}", message.name, field.name);
            if field.options.unwrap_or_default().debug_redact {
                redacted.insert(name);
            } else {
                // A `..._secret` is a message whose own fields are marked.
                let looks_secret =
                    ["code", "password", "private_key", "api_key"].contains(&field.name.as_str());
                let is_message = name == "OtpPolicy.code" || name == "Oauth.private_key";
                assert!(!looks_secret || is_message, "{name} is printed");
            }
        }
    }
    for expected in [
        "StartChallengeRequest.password",
        "VerifyCodeRequest.code",
        "AccountSecret.password",
        "OauthSecret.value",
        "DkimKey.private_key",
    ] {
        assert!(redacted.contains(expected), "{expected} is printed");
    }
}

/// Gateways and clients repeat, and cache, what has no side effects; nothing else.
#[test]
fn reads_and_reads_alone_have_no_side_effects() {
    const NO_SIDE_EFFECTS: i32 = 1;
    let mut reads = 0;
    for service in files().into_iter().flat_map(|file| file.services) {
        for method in service.methods {
            let begins = ["Get", "List", "LookUp", "Watch", "Export", "Preview", "Search"];
            let is_read = begins.iter().any(|begin| method.name.starts_with(begin));
            let level = method.options.unwrap_or_default().idempotency_level;
            assert_eq!(
                level == NO_SIDE_EFFECTS,
                is_read,
                "{}.{}",
                service.name,
                method.name
            );
            reads += usize::from(is_read);
        }
    }
    assert!(reads >= 15, "{reads}");
}
