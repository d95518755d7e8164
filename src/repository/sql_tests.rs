use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;

use super::*;

const QUERY: &str = "SELECT id, email, shown, tongue FROM users WHERE lower(name) = lower($1) ORDER BY rank";

struct Staff {
    folder: TempDir,
    repository: SqlRepository,
}

fn settings(folder: &TempDir, query: &str) -> SqlRepositorySettings {
    SqlRepositorySettings {
        name: "staff".into(),
        url: format!("sqlite:{}", folder.path().join("staff.db").display()),
        authorities: None,
        query: query.into(),
        columns: SqlColumns {
            display_name: Some("shown".into()),
            locale: Some("tongue".into()),
            ..SqlColumns::default()
        },
        timeout: Duration::from_secs(2),
        connections: 2,
        local_part: LocalPart::Ascii,
    }
}

async fn writer(folder: &TempDir) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(folder.path().join("staff.db"))
        .create_if_missing(true)
        .connect()
        .await
        .unwrap()
}

async fn fill(folder: &TempDir) {
    let mut writer = writer(folder).await;
    let rows = "
        CREATE TABLE users (id INTEGER, rank INTEGER, name TEXT, email TEXT, shown TEXT, tongue TEXT);
        INSERT INTO users VALUES
            (1, 1, 'ann', 'Ann@Example.com', 'Ann Example', 'de-CH'),
            (2, 1, 'bob', NULL, NULL, NULL), (2, 2, 'bob', 'x@localhost', NULL, NULL),
            (3, 1, 'eva', 'not one', NULL, NULL), (3, 2, 'eva', 'eva@example.com', 'a' || char(10), '?'),
            (3, 3, 'eva', 'eva2@example.com', NULL, NULL),
            (4, 1, 'kim', 'kim@example.com', NULL, NULL), (5, 1, 'KIM', 'kim5@example.com', NULL, NULL),
            (NULL, 1, 'nil', 'nil@example.com', NULL, NULL);";
    writer.execute(rows).await.unwrap();
    writer.close().await.unwrap();
}

async fn staff(query: &str) -> Staff {
    let folder = TempDir::new().unwrap();
    fill(&folder).await;
    let repository = SqlRepository::connect(settings(&folder, query)).unwrap();
    Staff { folder, repository }
}

async fn find(repository: &SqlRepository, name: &str) -> Result<Found, RepositoryError> {
    repository.find(&UserName::parse(name).unwrap()).await
}

#[tokio::test]
async fn tells_users_from_no_user_no_address_and_two_users() {
    let Staff {
        folder: _folder,
        repository,
    } = staff(QUERY).await;
    let Found::User(ann) = find(&repository, " ANN ").await.unwrap() else {
        panic!("no user")
    };
    assert_eq!((ann.id.as_str(), ann.address.as_str()), ("1", "Ann@example.com"));
    assert_eq!(ann.display_name.as_deref(), Some("Ann Example"));
    assert_eq!(ann.locale.as_deref(), Some("de-CH"));
    assert_eq!(find(&repository, "bob").await.unwrap(), Found::NoAddress);
    let Found::User(eva) = find(&repository, "eva").await.unwrap() else {
        panic!("no user")
    };
    assert_eq!(eva.address.as_str(), "eva@example.com");
    assert_eq!((eva.display_name, eva.locale), (None, None));
    assert_eq!(find(&repository, "kim").await.unwrap(), Found::Ambiguous);
    assert_eq!(find(&repository, "nobody").await.unwrap(), Found::Unknown);
    assert!(find(&repository, "nil").await.is_err());
}

#[tokio::test]
async fn hostile_names_are_bound_and_find_nobody() {
    let Staff { folder, repository } = staff(QUERY).await;
    for name in super::super::hostile_names() {
        if let Ok(user) = UserName::parse(&name) {
            assert_eq!(repository.find(&user).await.unwrap(), Found::Unknown, "{name:?}");
        }
    }
    let mut writer = writer(&folder).await;
    let (rows,): (i64,) = sqlx::query_as("SELECT count(*) FROM users")
        .fetch_one(&mut writer)
        .await
        .unwrap();
    assert_eq!(rows, 9);
}

#[tokio::test]
async fn connects_when_it_can_and_again_after_a_failure() {
    let folder = TempDir::new().unwrap();
    let repository = SqlRepository::connect(settings(&folder, QUERY)).unwrap();
    let absent = find(&repository, "ann").await;
    assert!(matches!(absent, Err(RepositoryError::Unavailable { .. })));
    assert!(!folder.path().join("staff.db").exists(), "a database was made");
    fill(&folder).await;
    assert!(matches!(find(&repository, "ann").await, Ok(Found::User(_))));
    let mut writer = writer(&folder).await;
    writer
        .execute("ALTER TABLE users RENAME TO people")
        .await
        .unwrap();
    assert!(find(&repository, "ann").await.is_err());
    writer
        .execute("ALTER TABLE people RENAME TO users")
        .await
        .unwrap();
    assert!(matches!(find(&repository, "ann").await, Ok(Found::User(_))));
}

#[tokio::test]
async fn a_query_without_end_is_stopped() {
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                   SELECT i AS id, $1 AS email, '' AS shown, '' AS tongue FROM n WHERE i < 0";
    let folder = TempDir::new().unwrap();
    fill(&folder).await;
    let settings = SqlRepositorySettings {
        timeout: Duration::from_millis(50),
        connections: 1,
        ..settings(&folder, endless)
    };
    let repository = SqlRepository::connect(settings).unwrap();
    for _ in 0..3 {
        // The one connection is free again each time: SQLite really stopped.
        assert!(find(&repository, "ann").await.is_err());
    }
}

#[tokio::test]
async fn faults_in_the_settings_are_told_at_once() {
    let folder = TempDir::new().unwrap();
    let bad = SqlRepositorySettings {
        url: "postgres://x".into(),
        connections: 0,
        ..settings(&folder, "SELECT 1")
    };
    let faults = SqlRepository::connect(bad).err().unwrap();
    let fields: Vec<&str> = faults
        .as_slice()
        .iter()
        .map(|fault| fault.field.as_str())
        .collect();
    assert_eq!(fields, ["url", "query", "connections"]);
}

#[tokio::test]
async fn cannot_write() {
    let Staff {
        folder: _folder,
        repository,
    } = staff(QUERY).await;
    let Place::Sqlite(options) =
        Place::parse(&repository.settings.url, None, repository.settings.timeout).unwrap()
    else {
        panic!()
    };
    let mut connection = options.connect().await.unwrap();
    assert!(connection.execute("DELETE FROM users").await.is_err());
}
