//! Users in the operator's own database: the same questions to a real PostgreSQL, a real MariaDB and SQLite.

use std::time::Duration;

use mailfactor::app::Machine;
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use tokio::time::timeout;
use toml::{Table, Value};
use tonic::Code;

use crate::{
    harness::{
        client::Client,
        ground::{Ground, reason},
        in_time, letter,
        mariadb::{MariaDb, READER},
        postgres::{self, Postgres},
        proxy::{Fault, Proxy},
        service::Home,
    },
    ldap::{home_with, hostile_names},
    password::{many, takes_as_long},
};

const SCHEMA: [&str; 2] = [
    "CREATE TABLE people (id BIGINT, place INT, login VARCHAR(300), email VARCHAR(200), shown VARCHAR(200), tongue VARCHAR(40), hash VARCHAR(200))",
    "INSERT INTO people VALUES \
     (1, 1, 'ann', 'Ann@Example.com', 'Ann Example', 'de', '$2b$04$abcdefghijklmnopqrstuuLK4yYxcGJwQr33yKnQTmKjI1WQSUD2K'), \
     (2, 1, 'bo', NULL, NULL, NULL, NULL), (2, 2, 'bo', 'no address', NULL, NULL, NULL), \
     (3, 1, 'many', 'no address', NULL, NULL, NULL), (3, 2, 'many', 'many@example.com', NULL, NULL, NULL), \
     (3, 3, 'many', 'many2@example.com', NULL, NULL, NULL), \
     (4, 1, 'twin', 'twin1@example.com', NULL, NULL, NULL), (5, 1, 'twin', 'twin2@example.com', NULL, NULL, NULL), \
     (6, 1, 'o''brien; --', 'odd@example.com', NULL, NULL, NULL)",
];

const QUERY: &str = "SELECT id, email, shown, tongue, hash FROM people WHERE login = $1 OR (login || '@portal') = $1 ORDER BY id, place";

/// The same for MariaDB, where `||` means something else.
const MARIADB_QUERY: &str = "SELECT id, email, shown, tongue, hash FROM people WHERE login = $1 OR CONCAT(login, '@portal') = $1 ORDER BY id, place";

fn portal(url: &str, query: &str) -> Value {
    let columns = [
        ("display_name", "shown"),
        ("locale", "tongue"),
        ("password", "hash"),
    ];
    let columns = columns.map(|(key, name)| (key.to_owned(), Value::from(name)));
    Value::Table(Table::from_iter([
        ("name".to_owned(), "portal".into()),
        ("kind".to_owned(), "sql".into()),
        ("url".to_owned(), url.into()),
        ("query".to_owned(), query.into()),
        ("columns".to_owned(), Value::Table(Table::from_iter(columns))),
    ]))
}

fn postgres_users() -> Option<(&'static Postgres, String)> {
    let postgres = Postgres::shared()?;
    let database = postgres.database();
    for statement in SCHEMA {
        postgres.sql(&database, statement);
    }
    postgres.sql(&database, &format!("GRANT ALL ON people TO {}", postgres::ROLE));
    Some((postgres, database))
}

fn mariadb_users(mariadb: &MariaDb, database: &str) {
    mariadb.sql(
        "mysql",
        &format!("CREATE DATABASE {database} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
    );
    for statement in SCHEMA {
        mariadb.sql(database, statement);
    }
    // More than it should have: what it must not do is the connection's business.
    mariadb.sql(database, &format!("GRANT ALL ON {database}.* TO '{READER}'@'%'"));
}

async fn sqlite_users(home: &Home) -> String {
    let path = home.path("portal.db");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    for statement in SCHEMA {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    format!("sqlite:{}", path.display())
}

async fn refusal(idp: &Client, user: &str) -> (Code, String) {
    reason(&idp.start(user).await.unwrap_err())
}

/// What must hold of every database.
async fn answers(home: Home, mark: &str) -> Ground {
    let scene = Ground::set(home).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    let known = [
        ("ann", "Ann@example.com"),
        ("ann@portal", "Ann@example.com"),
        ("many", "many@example.com"),
        ("o'brien; --", "odd@example.com"),
    ];
    for (index, (user, address)) in known.into_iter().enumerate() {
        idp.start(user)
            .await
            .unwrap_or_else(|status| panic!("{user}: {status}"));
        let mails = scene.smtp.wait_for_mails(index + 1).await;
        assert!(
            mails.iter().any(|mail| letter::recipient(mail) == address),
            "{user}"
        );
    }
    for (user, expected) in [
        ("bo", "USER_HAS_NO_ADDRESS"),
        ("twin", "USER_AMBIGUOUS"),
        ("nobody", "USER_UNKNOWN"),
        ("%", "USER_UNKNOWN"),
        ("' OR ''='", "USER_UNKNOWN"),
    ] {
        assert_eq!(refusal(&idp, user).await.1, expected, "{user}");
    }
    idp.start_with("ann", "right horse").await.unwrap();
    for user in ["ann", "many", "nobody"] {
        let status = idp.start_with(user, "wrong").await.unwrap_err();
        assert_eq!(reason(&status).1, "WRONG_PASSWORD", "{user}");
    }
    let mut asked = 0;
    for name in hostile_names(mark) {
        match refusal(&idp, &name).await.1.as_str() {
            "USER_UNKNOWN" => asked += 1,
            "INVALID_FIELD" => {}
            other => panic!("{name:?}: {other}"),
        }
    }
    assert!(asked > 600, "{asked}");
    idp.start("ann").await.unwrap();
    service.stop().await;
    scene
}

#[tokio::test]
async fn sqlite_answers() {
    let home = home_with(Value::Table(Table::new()));
    let url = sqlite_users(&home).await;
    let mut home = home;
    home.set("repository", Value::Array(vec![portal(&url, QUERY)]));
    answers(home, "sqlite").await;
}

#[tokio::test]
async fn postgresql_answers() {
    let Some((postgres, database)) = postgres_users() else {
        return;
    };
    answers(home_with(portal(&postgres.url(&database), QUERY)), "postgres").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures time and wants the machine to itself: scripts/test runs it after the others"]
async fn a_start_from_a_database_takes_as_long_for_nobody() {
    let Some((postgres, database)) = postgres_users() else {
        return;
    };
    let crowd = "INSERT INTO people SELECT 100 + n, 1, 'u' || n, 'u' || n || '@example.com' FROM generate_series(0, 4999) n";
    postgres.sql(&database, crowd);
    postgres.sql(&database, "CREATE INDEX ON people (login)");
    postgres.sql(&database, "ANALYZE people");
    let query = "SELECT id, email, shown, tongue, hash FROM people WHERE login = $1";
    let home = home_with(portal(&postgres.url(&database), query));
    takes_as_long(home, many(), "").await;
}

#[tokio::test]
async fn mariadb_answers_with_one_statement_for_each_name() {
    let Some(mariadb) = MariaDb::shared() else { return };
    mariadb_users(mariadb, "answers");
    let home = home_with(portal(&mariadb.url("answers"), MARIADB_QUERY));
    answers(home, "mariadb").await;
    // The log of a name has it twice, as the query has; every line of it is one statement.
    let sent = mariadb.statements("zqmariadb");
    assert!((600..=1_100).contains(&sent), "{sent}");
    assert_eq!(
        mariadb.sql("answers", "SELECT COUNT(*) FROM people"),
        "9",
        "nothing was changed"
    );
}

#[tokio::test]
async fn a_server_may_have_to_prove_its_name() {
    let Some(mariadb) = MariaDb::shared() else { return };
    mariadb_users(mariadb, "proves");
    let url = format!("{}?sslmode=verify-full", mariadb.url("proves"));
    for (trusted, found) in [(true, true), (false, false)] {
        let mut repository = portal(&url, MARIADB_QUERY);
        let stranger = crate::harness::certs::Authority::new();
        let authority = if trusted { &mariadb.authority } else { &stranger };
        let table = repository.as_table_mut().unwrap();
        table.insert("ca".to_owned(), authority.path().display().to_string().into());
        let scene = Ground::set(home_with(repository)).await;
        let (service, idp) = scene.serve(Machine::real()).await;
        let answer = in_time(idp.start("ann")).await;
        match answer {
            Ok(_) => assert!(found),
            Err(status) => {
                assert!(!found, "{status}");
                assert_eq!(reason(&status).1, "REPOSITORY_UNAVAILABLE");
            }
        }
        service.stop().await;
    }
}

/// A query that writes is refused by the connection, whatever the role may do; one that takes too long is ended by the
/// database itself.
#[tokio::test]
async fn the_connection_reads_and_has_a_bound() {
    let Some((postgres, database)) = postgres_users() else {
        return;
    };
    let Some(mariadb) = MariaDb::shared() else { return };
    mariadb_users(mariadb, "reading");
    postgres.sql(
        &database,
        "CREATE FUNCTION write() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ DELETE FROM people RETURNING 'x' $$",
    );
    mariadb.sql(
        "reading",
        "DELIMITER //\nCREATE FUNCTION write_it() RETURNS TEXT MODIFIES SQL DATA BEGIN DELETE FROM people; RETURN 'x'; END//",
    );
    for (url, query) in [
        (
            postgres.url(&database),
            "SELECT write() AS id, '' AS email, '' AS shown, '' AS tongue, '' AS hash WHERE $1 <> ''",
        ),
        (
            mariadb.url("reading"),
            "SELECT write_it() AS id, '' AS email, '' AS shown, '' AS tongue, '' AS hash WHERE ? <> ''",
        ),
        (
            postgres.url(&database),
            "SELECT pg_sleep(60)::text AS id, '' AS email, '' AS shown, '' AS tongue, '' AS hash WHERE $1 <> ''",
        ),
        (
            mariadb.url("reading"),
            "SELECT SLEEP(60) AS id, '' AS email, '' AS shown, '' AS tongue, '' AS hash WHERE ? <> ''",
        ),
    ] {
        let scene = Ground::set(home_with(portal(&url, query))).await;
        let (service, idp) = scene.serve(Machine::real()).await;
        let answer = timeout(Duration::from_secs(3), idp.start("ann"))
            .await
            .expect("in time");
        let expected = (Code::Unavailable, "REPOSITORY_UNAVAILABLE".to_owned());
        assert_eq!(reason(&answer.unwrap_err()), expected, "{query}");
        service.stop().await;
    }
    assert_eq!(postgres.sql(&database, "SELECT COUNT(*) FROM people"), "9");
    assert_eq!(mariadb.sql("reading", "SELECT COUNT(*) FROM people"), "9");
    // Nobody is still at work.
    in_time(async {
        loop {
            let asleep = "SELECT COUNT(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%sleep(60)%' AND pid <> pg_backend_pid()";
            let also = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP(60)%' AND id <> CONNECTION_ID()";
            if postgres.sql(&database, asleep) == "0" && mariadb.sql("reading", also) == "0" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_look_up_costs_one_round_trip() {
    let Some((postgres, database)) = postgres_users() else {
        return;
    };
    let Some(mariadb) = MariaDb::shared() else { return };
    mariadb_users(mariadb, "trips");
    for (server, query) in [(postgres.address, QUERY), (mariadb.address, MARIADB_QUERY)] {
        let proxy = Proxy::start(server).await;
        let url = if server == mariadb.address {
            mariadb.url("trips")
        } else {
            postgres.url(&database)
        };
        let url = url.replace(&server.to_string(), &proxy.address.to_string());
        let scene = Ground::set(home_with(portal(&url, query))).await;
        let (service, idp) = scene.serve(Machine::real()).await;
        idp.start("ann").await.unwrap();
        // Between two rounds of those who look after repositories, who ask as well: the fewest of some tries.
        let mut fewest = usize::MAX;
        for _ in 0..5 {
            let before = proxy.turns();
            for _ in 0..10 {
                idp.start("ann").await.unwrap();
            }
            fewest = fewest.min(proxy.turns() - before);
        }
        assert_eq!(fewest, 10, "{query}");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_database_that_fails_is_unavailable_in_time_and_comes_back() {
    let Some((postgres, database)) = postgres_users() else {
        return;
    };
    let Some(mariadb) = MariaDb::shared() else { return };
    mariadb_users(mariadb, "fails");
    for (server, query) in [(postgres.address, QUERY), (mariadb.address, MARIADB_QUERY)] {
        for fault in [
            Fault::BlackHole,
            Fault::HalfOpen,
            Fault::Reset,
            Fault::Latency(Duration::from_secs(5)),
        ] {
            let proxy = Proxy::start(server).await;
            let url = if server == mariadb.address {
                mariadb.url("fails")
            } else {
                postgres.url(&database)
            };
            let url = url.replace(&server.to_string(), &proxy.address.to_string());
            let scene = Ground::set(home_with(portal(&url, query))).await;
            let (service, idp) = scene.serve(Machine::real()).await;
            let challenge = idp.start("ann").await.unwrap();
            let code = letter::newest_to(&scene.smtp, "Ann@example.com").await;
            proxy.set(fault);
            for user in ["ann", "nobody"] {
                let answer = timeout(Duration::from_secs(3), idp.start(user)).await;
                let status = answer
                    .unwrap_or_else(|_| panic!("{fault:?}: no answer in time"))
                    .unwrap_err();
                assert_eq!(reason(&status).1, "REPOSITORY_UNAVAILABLE", "{fault:?}");
            }
            let verdict = idp.verify(&challenge.challenge_id, &code).await.unwrap();
            assert_eq!(verdict.result(), mailfactor::pb::v1::VerifyResult::Verified);
            assert_eq!(scene.smtp.mails().len(), 1, "{fault:?}: something was mailed");
            proxy.set(Fault::None);
            in_time(async { while idp.start("ann").await.is_err() {} }).await;
            service.stop().await;
        }
    }
}
