//! The table of mail accounts: its statements and what its rows mean.

use std::time::Duration;

use super::{
    Failure, flag,
    query::{Connection, Query, Row, query},
    rows::Columns,
    secrets,
};
use crate::{
    domain::{
        account::{Account, AccountSettings, Identity, Link, Login, Proof, Security, Sender, Server, Volume},
        address::{EmailAddress, LocalPart},
        clock::Timestamp,
        id::AccountId,
        keyring::Subject,
        preset::Preset,
    },
    store::StoreResult,
};

const TABLE: &str = "accounts";

/// Whether a name was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saved {
    Yes,
    NameTaken,
}

pub(super) async fn find(connection: &mut Connection, id: AccountId) -> Result<Option<Account>, Failure> {
    let row = query("SELECT * FROM accounts WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    Ok(row.as_ref().map(account).transpose()?)
}

/// The same, inside a transaction that is about to change it.
pub(super) async fn find_for_update(
    connection: &mut Connection,
    id: AccountId,
) -> Result<Option<Account>, Failure> {
    const STATEMENT: &str = "SELECT * FROM accounts WHERE id = $1";
    let row = query([STATEMENT, connection.engine().for_update()].concat())
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    Ok(row.as_ref().map(account).transpose()?)
}

pub(super) async fn list(connection: &mut Connection) -> Result<Vec<Account>, Failure> {
    let rows = query("SELECT * FROM accounts ORDER BY name")
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(account).collect::<StoreResult<_>>()?)
}

pub(super) async fn count(connection: &mut Connection) -> Result<i64, Failure> {
    Ok(query("SELECT COUNT(*) FROM accounts")
        .fetch_number(connection)
        .await?)
}

pub(super) async fn insert(connection: &mut Connection, account: &Account) -> Result<Saved, Failure> {
    let statement = "INSERT INTO accounts (id, name, enabled, host, port, security, username, secret_kind, secret, \
        sender, display_name, reply_to, updated_at, version, preset, try_order, return_path, read_receipt, \
        confirmation, force_settings, footnote_enabled, footnote, hello_name, server_name, authorities, \
        any_certificate, timeout, per_minute, per_day, client_certificate, \
        client_key_kind, client_key, is_default, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, \
        $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34) \
        ON CONFLICT (name) DO NOTHING";
    let inserted = bind(statement, account)
        .bind(flag(account.is_default))
        .bind(account.created_at.as_micros())
        .execute(connection)
        .await?;
    Ok(saved(inserted))
}

pub(super) async fn update(connection: &mut Connection, account: &Account) -> Result<Saved, Failure> {
    let statement = "UPDATE accounts SET name = $2, enabled = $3, host = $4, port = $5, security = $6, \
        username = $7, secret_kind = $8, secret = $9, sender = $10, display_name = $11, reply_to = $12, \
        updated_at = $13, version = $14, preset = $15, try_order = $16, return_path = $17, read_receipt = $18, \
        confirmation = $19, force_settings = $20, footnote_enabled = $21, footnote = $22, hello_name = $23, \
        server_name = $24, authorities = $25, any_certificate = $26, timeout = $27, per_minute = $28, \
        per_day = $29, client_certificate = $30, client_key_kind = $31, client_key = $32 \
        WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM accounts AS other WHERE other.name = $2 AND other.id <> $1)";
    let updated = bind(statement, account).execute(connection).await?;
    Ok(saved(updated))
}

pub(super) async fn delete(connection: &mut Connection, id: AccountId) -> Result<(), Failure> {
    query("DELETE FROM accounts WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes the default from whoever has it and gives it to this one: a change of both.
pub(super) async fn move_default(
    connection: &mut Connection,
    id: AccountId,
    now: Timestamp,
) -> Result<(), Failure> {
    query("UPDATE accounts SET is_default = 0, version = version + 1, updated_at = $1 WHERE is_default = 1")
        .bind(now.as_micros())
        .execute(&mut *connection)
        .await?;
    query("UPDATE accounts SET is_default = 1, version = version + 1, updated_at = $2 WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .bind(now.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes a passed test.
pub(super) async fn note_test(
    connection: &mut Connection,
    id: AccountId,
    proof: Proof,
) -> Result<(), Failure> {
    query("UPDATE accounts SET tested = $2, tested_at = $3 WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .bind(proof.settings.as_bytes().as_slice())
        .bind(proof.at.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

/// Binds `$1` to `$32`: everything but the default and the creation.
fn bind<'q>(statement: &'static str, account: &'q Account) -> Query<'q> {
    let AccountSettings {
        name,
        enabled,
        order,
        preset,
        server,
        link,
        login,
        sender,
        volume,
    } = &account.settings;
    let secret = login.as_ref().map(|login| secrets::parts(&login.secret));
    let (kind, secret) = secret.unzip();
    let identity = link.identity.as_deref();
    let key = identity.map(|identity| secrets::parts(&identity.key));
    let (key_kind, key) = key.unzip();
    query(statement)
        .bind(account.id.as_bytes().as_slice())
        .bind(name)
        .bind(flag(*enabled))
        .bind(&server.host)
        .bind(i64::from(server.port))
        .bind(server.security.name())
        .bind(login.as_ref().map(|login| login.username.as_str()))
        .bind(kind)
        .bind(secret)
        .bind(sender.address.as_str())
        .bind(&sender.display_name)
        .bind(sender.reply_to.as_ref().map(EmailAddress::as_str))
        .bind(account.updated_at.as_micros())
        .bind(account.version)
        .bind(preset.name)
        .bind(i64::from(*order))
        .bind(sender.return_path.as_ref().map(EmailAddress::as_str))
        .bind(flag(sender.read_receipt))
        .bind(sender.confirmation.as_ref().map(EmailAddress::as_str))
        .bind(flag(sender.force))
        .bind(flag(sender.footnote_enabled))
        .bind(&sender.footnote)
        .bind(link.hello_name.as_deref())
        .bind(link.server_name.as_deref())
        .bind(link.authorities.as_deref())
        .bind(flag(link.any_certificate))
        .bind(
            link.timeout
                .map(|span| i64::try_from(span.as_micros()).unwrap_or(i64::MAX)),
        )
        .bind(i64::from(volume.per_minute))
        .bind(i64::from(volume.per_day))
        .bind(identity.map(|identity| identity.certificate.as_str()))
        .bind(key_kind)
        .bind(key)
}

fn saved(rows: u64) -> Saved {
    if rows == 1 { Saved::Yes } else { Saved::NameTaken }
}

fn account(row: &Row) -> StoreResult<Account> {
    let columns = Columns::new(TABLE, row);
    // Checked when it was written, under the rules of that time.
    let address = |text: &str| columns.known(EmailAddress::parse(text, LocalPart::Utf8).ok());
    let address_if_any = |name| {
        let text = columns.text_if_any(name)?;
        text.as_deref().map(address).transpose()
    };
    Ok(Account {
        id: AccountId::from_bytes(columns.bytes("id")?),
        is_default: columns.flag("is_default")?,
        settings: AccountSettings {
            name: columns.text("name")?,
            enabled: columns.flag("enabled")?,
            server: Server {
                host: columns.text("host")?,
                port: columns.count("port")?,
                security: columns.known(Security::from_name(&columns.text("security")?))?,
            },
            order: columns.count("try_order")?,
            preset: columns.known(Preset::from_name(&columns.text("preset")?))?,
            link: link(&columns)?,
            login: login(&columns)?,
            sender: Sender {
                address: address(&columns.text("sender")?)?,
                display_name: columns.text("display_name")?,
                reply_to: address_if_any("reply_to")?,
                return_path: address_if_any("return_path")?,
                read_receipt: columns.flag("read_receipt")?,
                confirmation: address_if_any("confirmation")?,
                force: columns.flag("force_settings")?,
                footnote_enabled: columns.flag("footnote_enabled")?,
                footnote: columns.text("footnote")?,
            },
            volume: Volume {
                per_minute: columns.count("per_minute")?,
                per_day: columns.count("per_day")?,
            },
        },
        created_at: columns.time("created_at")?,
        updated_at: columns.time("updated_at")?,
        version: columns.number("version")?,
        proof: match columns.number_if_any("tested_at")? {
            None => None,
            Some(at) => Some(Proof {
                settings: Subject::from_bytes(columns.bytes("tested")?),
                at: Timestamp::from_micros(at),
            }),
        },
    })
}

fn link(columns: &Columns<'_>) -> StoreResult<Link> {
    let micros = columns.number_if_any("timeout")?;
    let timeout = micros.map(|micros| columns.known(u64::try_from(micros).ok()));
    Ok(Link {
        hello_name: columns.text_if_any("hello_name")?,
        server_name: columns.text_if_any("server_name")?,
        authorities: columns.text_if_any("authorities")?,
        any_certificate: columns.flag("any_certificate")?,
        identity: identity(columns)?,
        timeout: timeout.transpose()?.map(Duration::from_micros),
    })
}

fn identity(columns: &Columns<'_>) -> StoreResult<Option<Box<Identity>>> {
    let Some(certificate) = columns.text_if_any("client_certificate")? else {
        return Ok(None);
    };
    let key = secrets::named(columns, "client_key_kind", "client_key")?;
    Ok(Some(Box::new(Identity { certificate, key })))
}

/// The columns `username`, `secret_kind` and `secret`.
pub(super) fn login(columns: &Columns<'_>) -> StoreResult<Option<Login>> {
    let Some(username) = columns.text_if_any("username")? else {
        return Ok(None);
    };
    let secret = secrets::secret(columns)?;
    Ok(Some(Login { username, secret }))
}
