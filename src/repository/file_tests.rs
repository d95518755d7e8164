use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const ANN: &str = "[[user]]\nname = 'Ann'\naliases = ['a.e']\nemail = 'Ann@Example.com'\nlocale = 'de-CH'\n";

fn write(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("users.toml");
    // As an operator should: a new file over the old one.
    let fresh = folder.path().join("users.new");
    fs::write(&fresh, text).unwrap();
    fs::rename(&fresh, &path).unwrap();
    path
}

fn open(text: &str) -> Result<(TempDir, FileRepository), FileError> {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, text);
    FileRepository::open("staff".into(), path, LocalPart::Ascii).map(|repository| (folder, repository))
}

async fn find(repository: &FileRepository, name: &str) -> Found {
    repository.find(&UserName::parse(name).unwrap()).await.unwrap()
}

async fn address(repository: &FileRepository, name: &str) -> Option<String> {
    match find(repository, name).await {
        Found::User(user) => Some(user.address.as_str().to_owned()),
        _ => None,
    }
}

#[tokio::test]
async fn finds_by_name_and_alias_whatever_the_case() {
    let (_folder, staff) = open(ANN).unwrap();
    for name in ["ann", " ANN ", "a.e", "A.E"] {
        let Found::User(user) = find(&staff, name).await else {
            panic!("{name}")
        };
        assert_eq!((user.id.as_str(), user.repository.as_str()), ("ann", "staff"));
        assert_eq!(user.address.as_str(), "Ann@example.com");
        assert_eq!(user.locale.as_deref(), Some("de-CH"));
    }
    assert_eq!(find(&staff, "an").await, Found::Unknown);
}

#[tokio::test]
async fn no_address_no_user_and_two_users_are_three_answers() {
    let text = "
        [[user]]
        name = 'none'
        [[user]]
        name = 'bad'
        emails = ['x@localhost', 'a b@example.com']
        [[user]]
        name = 'second'
        email = '?'
        emails = ['second@example.com', 'third@example.com']
        [[user]]
        name = 'twin'
        aliases = ['left']
        email = 'left@example.com'
        [[user]]
        name = 'TWIN'
        email = 'right@example.com'
        [[user]]
        name = 'other'
        aliases = ['shared', 'other']
        email = 'other@example.com'
        [[user]]
        name = 'another'
        aliases = ['shared']
        email = 'another@example.com'
    ";
    let (_folder, staff) = open(text).unwrap();
    assert_eq!(find(&staff, "none").await, Found::NoAddress);
    assert_eq!(find(&staff, "bad").await, Found::NoAddress);
    assert_eq!(
        address(&staff, "second").await.as_deref(),
        Some("second@example.com")
    );
    for ambiguous in ["twin", "left", "shared"] {
        assert_eq!(find(&staff, ambiguous).await, Found::Ambiguous, "{ambiguous}");
    }
    assert_eq!(
        address(&staff, "other").await.as_deref(),
        Some("other@example.com")
    );
    assert_eq!(find(&staff, "nobody").await, Found::Unknown);
    let users = staff.current().await;
    let places: Vec<_> = users
        .unusable()
        .iter()
        .map(|at| (at.line, at.entry, at.address))
        .collect();
    assert_eq!(places, [(6, 2, 1), (6, 2, 2), (9, 3, 1)]);
}

#[test]
fn faults_name_the_place_and_never_the_contents() {
    for (text, told) in [
        ("[[user]]\nname = 'ann\n", "is not valid TOML at line 2, column "),
        (
            "[[user]]\nname = 'ann'\n[[user]]\nemail = 'secret@example.com'\n",
            "line 3, user 2: has no `name`",
        ),
        ("[[user]]\nname = 5\n", "line 2, user 1: must be a text in quotes"),
        ("[[user]]\nname = ''\n", "line 2, user 1: a name is required"),
        (
            "[[user]]\nname = \"a\\u0000b\"\n",
            "line 2, user 1: a name has a control character at position 2",
        ),
        (
            "[[user]]\nname = 'ann'\nemial = 'secret@example.com'\n",
            "line 3, user 1: has an unknown field `emial`",
        ),
        (
            "[[user]]\nname = 'ann'\n'secret@example.com' = 1\n",
            "line 3, user 1: has an unknown field",
        ),
        (
            "[[user]]\nname = 'ann'\naliases = 'secret@example.com'\n",
            "line 3, user 1: aliases must be a list of texts",
        ),
        ("users = []\n", "line 1: only `[[user]]` is known here"),
        ("user = 5\n", "line 1: must be written `[[user]]`"),
        ("", "line 1: holds no `[[user]]`"),
    ] {
        let error = open(text).err().unwrap().to_string();
        assert!(error.contains("users.toml") && error.contains(told), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let missing = FileRepository::open("staff".into(), "/nonexistent".into(), LocalPart::Ascii);
    assert!(matches!(missing.err(), Some(FileError::Unreadable { .. })));
    let folder = FileRepository::open("staff".into(), "/".into(), LocalPart::Ascii);
    assert!(matches!(folder.err(), Some(FileError::NoFile { .. })));
}

#[tokio::test]
async fn what_is_wrong_with_one_user_costs_that_user_alone() {
    let text = "
        [[user]]
        name = 'ann'
        email = ' ann@example.com\t'
        locale = 'secret!'
        display_name = 5
        [[user]]
        name = 'bo'
        emails = 'bo@example.com'
        display_name = \"secret\\u0000\"
        locale = 'zh_TW.UTF-8'
        [[user]]
        name = 'cy'
        email = 5
        locale = 'C'
        [[user]]
        name = 'di'
        emails = ['secret', 7, 'di@example.com']
    ";
    let (_folder, staff) = open(text).unwrap();
    for (name, expected, locale) in [
        ("ann", Some("ann@example.com"), None),
        ("bo", Some("bo@example.com"), Some("zh-Hant-TW")),
        ("cy", None, None),
        ("di", Some("di@example.com"), None),
    ] {
        assert_eq!(address(&staff, name).await.as_deref(), expected, "{name}");
        if let Found::User(user) = find(&staff, name).await {
            assert_eq!(
                (user.display_name, user.locale.as_deref()),
                (None, locale),
                "{name}"
            );
        }
    }
    let reasons = async |name: &str| {
        staff
            .unusable_addresses(&UserName::parse(name).unwrap())
            .await
            .unwrap()
    };
    assert_eq!(reasons("ann").await, []);
    assert_eq!(reasons("cy").await, [AddressError::Form]);
    assert_eq!(reasons("di").await, [AddressError::Form, AddressError::Form]);
    let flaws = staff.flaws();
    assert!(
        flaws[0].contains("3 address(es) cannot be used, 1 user(s) have none"),
        "{flaws:?}"
    );
    assert!(
        flaws[0].contains("line 14, user 3, address 1: must have the form"),
        "{flaws:?}"
    );
    assert!(
        flaws[1].contains("3 field(s) are left out (line 6, user 1: display_name"),
        "{flaws:?}"
    );
    assert!(!format!("{flaws:?}").contains("secret"), "{flaws:?}");
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_read_and_a_broken_or_vanished_one_is_not_believed() {
    let (folder, staff) = open(ANN).unwrap();
    let again = || tokio::time::advance(LOOK_AGAIN);
    write(&folder, &ANN.replace("Ann@", "Eva@"));
    // Not yet: it is asked for at most once a second.
    assert_eq!(address(&staff, "ann").await.as_deref(), Some("Ann@example.com"));
    again().await;
    assert_eq!(address(&staff, "ann").await.as_deref(), Some("Eva@example.com"));
    for broken in ["[[user", "", "[[user]]\nemail = 'x@example.com'\n", "\u{0}"] {
        write(&folder, broken);
        again().await;
        assert_eq!(
            address(&staff, "ann").await.as_deref(),
            Some("Eva@example.com"),
            "{broken}"
        );
        assert!(matches!(staff.watch.lock().await.seen, Seen::Read(_)));
    }
    fs::remove_file(folder.path().join("users.toml")).unwrap();
    again().await;
    assert_eq!(address(&staff, "ann").await.as_deref(), Some("Eva@example.com"));
    assert_eq!(
        staff.watch.lock().await.seen,
        Seen::Unreadable(io::ErrorKind::NotFound)
    );
    write(&folder, &ANN.replace("Ann@", "Ida@"));
    again().await;
    assert_eq!(address(&staff, "ann").await.as_deref(), Some("Ida@example.com"));
    write(&folder, "user = []");
    again().await;
    assert_eq!(find(&staff, "ann").await, Found::Unknown);
}

#[tokio::test]
async fn hostile_names_are_refused_or_unknown() {
    let (_folder, staff) = open(ANN).unwrap();
    for name in super::super::hostile_names() {
        if let Ok(user) = UserName::parse(&name) {
            assert_eq!(staff.find(&user).await.unwrap(), Found::Unknown, "{name:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "(\\[\\[user\\]\\]\n|name = '[a-z]'\n|emails = \\['.{0,5}'\\]\n|é){0,12}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            let _ = read::parse(bytes, Path::new("users.toml"), LocalPart::Utf8);
        }
    }
}
