//! The table of inboxes: its statements and what its rows mean.

use std::time::Duration;

use super::{
    Failure, account_rows, flag,
    query::{Connection, Query, Row, query},
    rows::Columns,
    secrets,
};
use crate::{
    domain::{
        account::{Link, Security, Server},
        clock::Timestamp,
        id::InboxId,
        inbox::{Inbox, InboxSettings, InboxStanding, Position, Protocol, SeenId},
    },
    store::StoreResult,
};

const TABLE: &str = "inboxes";

pub(super) async fn find(
    connection: &mut Connection,
    id: InboxId,
    now: Timestamp,
) -> Result<Option<Inbox>, Failure> {
    let row = query("SELECT * FROM inboxes WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    Ok(row.as_ref().map(|row| inbox(row, now)).transpose()?)
}

/// The same, inside a transaction that is about to change it.
pub(super) async fn find_for_update(
    connection: &mut Connection,
    id: InboxId,
    now: Timestamp,
) -> Result<Option<(Inbox, Position)>, Failure> {
    const STATEMENT: &str = "SELECT * FROM inboxes WHERE id = $1";
    let row = query([STATEMENT, connection.engine().for_update()].concat())
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    let whole = |row: &Row| Ok::<_, Failure>((inbox(row, now)?, position(row)?));
    row.as_ref().map(whole).transpose()
}

pub(super) async fn list(connection: &mut Connection, now: Timestamp) -> Result<Vec<Inbox>, Failure> {
    let rows = query("SELECT * FROM inboxes ORDER BY name")
        .fetch_all(connection)
        .await?;
    Ok(rows
        .iter()
        .map(|row| inbox(row, now))
        .collect::<StoreResult<_>>()?)
}

pub(super) async fn count(connection: &mut Connection) -> Result<i64, Failure> {
    Ok(query("SELECT COUNT(*) FROM inboxes")
        .fetch_number(connection)
        .await?)
}

/// Whether its name was free.
pub(super) async fn insert(connection: &mut Connection, inbox: &Inbox) -> Result<bool, Failure> {
    let statement = "INSERT INTO inboxes (id, name, enabled, automatic_check, keep_copy, check_interval, protocol, host, \
        port, security, server_name, authorities, any_certificate, username, secret_kind, secret, updated_at, version, \
        created_at, lease, leased_until, next_check_at, last_error, failures, messages_read, reports_matched, \
        uid_validity, last_uid, seen) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, NULL, 0, $20, '', \
        0, 0, 0, 0, 0, $21) ON CONFLICT (name) DO NOTHING";
    let inserted = bind(statement, inbox)
        .bind(inbox.created_at.as_micros())
        .bind(inbox.standing.next_check_at.as_micros())
        .bind(Vec::<u8>::new())
        .execute(connection)
        .await?;
    Ok(inserted == 1)
}

/// Whether its name was free. Ends the lease, and what failed before counts no longer.
pub(super) async fn update(
    connection: &mut Connection,
    inbox: &Inbox,
    position: &Position,
) -> Result<bool, Failure> {
    let statement = "UPDATE inboxes SET name = $2, enabled = $3, automatic_check = $4, keep_copy = $5, \
        check_interval = $6, protocol = $7, host = $8, port = $9, security = $10, server_name = $11, authorities = $12, \
        any_certificate = $13, username = $14, secret_kind = $15, secret = $16, updated_at = $17, version = $18, \
        next_check_at = $19, uid_validity = $20, last_uid = $21, seen = $22, lease = NULL, leased_until = 0, failures = 0 \
        WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM inboxes AS other WHERE other.name = $2 AND other.id <> $1)";
    let updated = bind(statement, inbox)
        .bind(inbox.standing.next_check_at.as_micros())
        .bind(i64::from(position.uid_validity))
        .bind(i64::from(position.last_uid))
        .bind(position.seen.concat())
        .execute(connection)
        .await?;
    Ok(updated == 1)
}

/// Binds `$1` to `$18`: what an administrator sets.
fn bind<'q>(statement: &'static str, inbox: &'q Inbox) -> Query<'q> {
    let settings = &inbox.settings;
    let (secret_kind, secret) = secrets::parts(&settings.login.secret);
    query(statement)
        .bind(inbox.id.as_bytes().as_slice())
        .bind(&settings.name)
        .bind(flag(settings.enabled))
        .bind(flag(settings.automatic_check))
        .bind(flag(settings.keep_copy))
        .bind(i64::try_from(settings.interval.as_micros()).unwrap_or(i64::MAX))
        .bind(settings.protocol.name())
        .bind(&settings.server.host)
        .bind(i64::from(settings.server.port))
        .bind(settings.server.security.name())
        .bind(settings.link.server_name.as_deref())
        .bind(settings.link.authorities.as_deref())
        .bind(flag(settings.link.any_certificate))
        .bind(&settings.login.username)
        .bind(secret_kind)
        .bind(secret)
        .bind(inbox.updated_at.as_micros())
        .bind(inbox.version)
}

fn inbox(row: &Row, now: Timestamp) -> StoreResult<Inbox> {
    let columns = Columns::new(TABLE, row);
    Ok(Inbox {
        id: InboxId::from_bytes(columns.bytes("id")?),
        settings: InboxSettings {
            name: columns.text("name")?,
            enabled: columns.flag("enabled")?,
            automatic_check: columns.flag("automatic_check")?,
            keep_copy: columns.flag("keep_copy")?,
            interval: Duration::from_micros(columns.count("check_interval")?),
            protocol: columns.known(Protocol::from_name(&columns.text("protocol")?))?,
            server: Server {
                host: columns.text("host")?,
                port: columns.count("port")?,
                security: columns.known(Security::from_name(&columns.text("security")?))?,
            },
            link: Link {
                server_name: columns.text_if_any("server_name")?,
                authorities: columns.text_if_any("authorities")?,
                any_certificate: columns.flag("any_certificate")?,
                ..Link::default()
            },
            login: columns.known(account_rows::login(&columns)?)?,
        },
        standing: InboxStanding {
            checking: columns.time("leased_until")? > now,
            last_check_at: columns.time_if_any("last_check_at")?,
            last_success_at: columns.time_if_any("last_success_at")?,
            last_error: columns.text("last_error")?,
            failures: columns.count("failures")?,
            next_check_at: columns.time("next_check_at")?,
            messages_read: columns.count("messages_read")?,
            reports_matched: columns.count("reports_matched")?,
        },
        created_at: columns.time("created_at")?,
        updated_at: columns.time("updated_at")?,
        version: columns.number("version")?,
    })
}

fn position(row: &Row) -> StoreResult<Position> {
    let columns = Columns::new(TABLE, row);
    let seen = columns.blob("seen")?;
    Ok(Position {
        uid_validity: columns.count("uid_validity")?,
        last_uid: columns.count("last_uid")?,
        seen: seen
            .chunks_exact(size_of::<SeenId>())
            .filter_map(|id| id.try_into().ok())
            .collect(),
    })
}
