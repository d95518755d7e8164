//! Tests of which files are read as secrets.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

const MOST: usize = 64;

struct Scene {
    home: TempDir,
    files: SecretFiles,
}

impl Scene {
    /// A directory for secrets, and a key file beside it.
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::create_dir(path("secrets")).unwrap();
        fs::create_dir(path("own")).unwrap();
        fs::write(path("own/keys"), "k1 key\n").unwrap();
        let reserved = Reserved {
            field: "keys.file".into(),
            path: path("own/keys"),
        };
        Self {
            files: SecretFiles::new(vec![path("secrets")], vec![reserved]),
            home,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn read(&self, name: &str) -> Result<String, SecretFileError> {
        let read = self.files.read(&self.path(name), MOST, Shape::Line);
        read.map(|text| text.to_string())
    }
}

#[test]
fn paths_lie_in_the_directories_for_secrets() {
    let files = SecretFiles::new(vec!["/run/secrets".into(), "/etc/mf/../x".into()], Vec::new());
    for good in ["/run/secrets/smtp", "/run/secrets/a/b", "/run//secrets/./smtp"] {
        assert!(files.may_name(Path::new(good)), "{good}");
    }
    let long = format!("/run/secrets/{}", "a".repeat(LONGEST_PATH));
    for bad in [
        "",
        "/run/secrets",
        "/run/secrets/",
        "/run/secrets/../../etc/shadow",
        "/run/secrets2/smtp",
        "run/secrets/smtp",
        "/etc/mf/../x/smtp",
        "/run/secrets/a\nb",
        "/etc/passwd",
        &long,
    ] {
        assert!(!files.may_name(Path::new(bad)), "{bad}");
    }
    assert!(!SecretFiles::default().may_name(Path::new("/run/secrets/smtp")));
}

#[test]
fn a_secret_is_one_line_of_a_regular_file() {
    let scene = Scene::new();
    let write = |text: &[u8]| fs::write(scene.path("secrets/a"), text).unwrap();
    for (text, secret) in [
        (&b"hunter2"[..], "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b" a b \n", " a b "),
    ] {
        write(text);
        assert_eq!(scene.read("secrets/a").unwrap(), secret);
    }
    write(&[b'a'; MOST]);
    assert!(scene.read("secrets/a").is_ok());
    write(&[b'a'; MOST + 1]);
    assert!(matches!(
        scene.read("secrets/a"),
        Err(SecretFileError::TooLong(MOST))
    ));
    for text in [&b"a\nb\n"[..], b"a\n\n", b"a\rb", b"a\0b"] {
        write(text);
        assert!(matches!(scene.read("secrets/a"), Err(SecretFileError::Lines)));
    }
    write(b"\xff");
    assert!(matches!(scene.read("secrets/a"), Err(SecretFileError::NotText)));
    write(b"a\nb\n");
    let text = scene.files.read(&scene.path("secrets/a"), MOST, Shape::Text);
    assert_eq!(*text.unwrap(), "a\nb");
    fs::create_dir(scene.path("secrets/directory")).unwrap();
    assert!(matches!(
        scene.read("secrets/directory"),
        Err(SecretFileError::NotAFile)
    ));
}

#[test]
fn a_link_leads_to_another_secret_and_nowhere_else() {
    let scene = Scene::new();
    // As Kubernetes mounts secrets.
    fs::create_dir(scene.path("secrets/..one")).unwrap();
    fs::write(scene.path("secrets/..one/smtp"), "hunter2\n").unwrap();
    symlink("..one", scene.path("secrets/..data")).unwrap();
    symlink("..data/smtp", scene.path("secrets/smtp")).unwrap();
    assert_eq!(scene.read("secrets/smtp").unwrap(), "hunter2");
    fs::write(scene.path("elsewhere"), "hunter3\n").unwrap();
    symlink(scene.path("elsewhere"), scene.path("secrets/out")).unwrap();
    symlink(scene.path("own"), scene.path("secrets/own")).unwrap();
    fs::write(scene.path("own/more"), "hunter4\n").unwrap();
    for name in [
        "secrets/out",
        "secrets/own/more",
        "elsewhere",
        "secrets/../elsewhere",
    ] {
        assert!(
            matches!(scene.read(name), Err(SecretFileError::Outside)),
            "{name}"
        );
    }
}

#[test]
fn a_reserved_file_has_no_other_name() {
    let scene = Scene::new();
    fs::hard_link(scene.path("own/keys"), scene.path("secrets/hard")).unwrap();
    symlink(scene.path("own/keys"), scene.path("secrets/soft")).unwrap();
    for name in ["secrets/hard", "secrets/soft"] {
        assert!(
            matches!(scene.read(name), Err(SecretFileError::Reserved)),
            "{name}"
        );
        assert!(!scene.files.may_name(&scene.path(name)));
    }
    // Replaced since, it is the new one that counts.
    fs::write(scene.path("own/new"), "k2 key\n").unwrap();
    fs::rename(scene.path("own/new"), scene.path("own/keys")).unwrap();
    fs::hard_link(scene.path("own/keys"), scene.path("secrets/again")).unwrap();
    assert!(matches!(
        scene.read("secrets/again"),
        Err(SecretFileError::Reserved)
    ));
}

#[test]
fn reserved_files_among_the_secrets_are_told() {
    let scene = Scene::new();
    assert_eq!(scene.files.mixed(), []);
    let told = |files: &SecretFiles| {
        let mixed = files.mixed().into_iter();
        mixed
            .map(|mixed| (mixed.field, mixed.lies_there))
            .collect::<Vec<_>>()
    };
    fs::create_dir(scene.path("secrets/below")).unwrap();
    fs::hard_link(scene.path("own/keys"), scene.path("secrets/below/hard")).unwrap();
    assert_eq!(told(&scene.files), [("keys.file".to_owned(), false)]);
    // One that is not made yet, in a directory that a link leads to.
    symlink(scene.path("secrets"), scene.path("link")).unwrap();
    let reserved = Reserved {
        field: "keys.file".into(),
        path: scene.path("link/new"),
    };
    let files = SecretFiles::new(vec![scene.path("secrets")], vec![reserved]);
    assert_eq!(told(&files), [("keys.file".to_owned(), true)]);
}

#[test]
fn what_the_configuration_names_is_a_line_too() {
    let scene = Scene::new();
    assert_eq!(*read_named(&scene.path("own/keys")).unwrap(), "k1 key");
    fs::write(scene.path("own/keys"), "a\nb\n").unwrap();
    assert!(matches!(
        read_named(&scene.path("own/keys")),
        Err(SecretFileError::Lines)
    ));
    assert!(matches!(
        read_named(&scene.path("own")),
        Err(SecretFileError::NotAFile)
    ));
    assert!(read_named(&scene.path("nowhere")).is_err());
}
