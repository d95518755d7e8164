//! The directory of users, from the configuration's tables `[[repository]]`; and who looks after it.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::BuildError;
use crate::{
    config::{Columns, Ldap, LdapScope, Repository, RepositoryKind, Users},
    domain::violation::Violations,
    repository::{
        Directory, Member, Route, SharedRepository,
        file::FileRepository,
        ldap::{
            LdapAttributes, LdapRepository, LdapRepositorySettings, LdapServer, Login, Preset, Protection,
            Scope,
        },
        sql::{SqlColumns, SqlRepository, SqlRepositorySettings},
    },
};

/// Connections to one user database, or to one server of a directory, at once.
const CONNECTIONS: u32 = 8;

/// How often repositories are asked whether they would answer.
const ROUND: Duration = Duration::from_secs(5);

/// What a repository leaves of the time that the whole search has: whoever misses it is told apart from the search.
const MARGIN: Duration = Duration::from_millis(50);

/// The directory of users.
pub(super) fn directory(users: &Users) -> Result<Directory, BuildError> {
    let member = |repository: &Repository| {
        let route = Route {
            domains: repository.domains.clone(),
            bare_names: repository.bare_names,
            strip_domain: repository.strip_domain,
        };
        open(repository, users).map(|opened| Member::new(opened, route, users.cache))
    };
    let members = users.repositories.iter().map(member);
    Ok(Directory::new(
        members.collect::<Result<_, _>>()?,
        users.lookup_deadline,
    ))
}

/// Asks every repository now and then whether it would answer, until the end.
pub(super) async fn look_after(directory: Arc<Directory>, soft: CancellationToken) {
    let mut ticks = interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let endless = async {
        loop {
            ticks.tick().await;
            directory.look_round().await;
        }
    };
    soft.run_until_cancelled(endless).await;
}

/// One repository.
pub(super) fn open(repository: &Repository, users: &Users) -> Result<SharedRepository, BuildError> {
    let name = repository.name.clone();
    let opened: Result<SharedRepository, Box<dyn std::error::Error + Send + Sync>> = match &repository.kind {
        RepositoryKind::File { path } => FileRepository::open(name.clone(), path.clone(), users.local_part)
            .map(|opened| Arc::new(opened) as SharedRepository)
            .map_err(Into::into),
        RepositoryKind::Sql {
            url,
            authorities,
            query,
            columns,
        } => SqlRepository::connect(SqlRepositorySettings {
            name: name.clone(),
            url: url.clone(),
            authorities: authorities.clone(),
            query: query.clone(),
            columns: sql_columns(columns),
            timeout: users.lookup_deadline.saturating_sub(MARGIN),
            connections: CONNECTIONS,
            local_part: users.local_part,
        })
        .map(|opened| Arc::new(opened) as SharedRepository)
        .map_err(Into::into),
        RepositoryKind::Ldap(ldap) => ldap_settings(&name, ldap, users)
            .and_then(LdapRepository::connect)
            .map(|opened| Arc::new(opened) as SharedRepository)
            .map_err(Into::into),
    };
    opened.map_err(|source| BuildError::Repository { name, source })
}

fn sql_columns(columns: &Columns) -> SqlColumns {
    SqlColumns {
        id: columns.id.clone(),
        email: columns.email.clone(),
        display_name: columns.display_name.clone(),
        locale: columns.locale.clone(),
        password: columns.password.clone(),
    }
}

fn ldap_settings(name: &str, ldap: &Ldap, users: &Users) -> Result<LdapRepositorySettings, Violations> {
    let usual = if ldap.preset.is_empty() {
        "openldap"
    } else {
        &ldap.preset
    };
    let mut faults = Violations::new();
    let Some(preset) = Preset::named(usual) else {
        faults.add("preset", "is unknown");
        return Err(faults);
    };
    let servers = servers(ldap, &mut faults);
    faults.into_result()?;
    let or = |own: &Option<String>, preset: &str| own.clone().unwrap_or_else(|| preset.to_owned());
    let emails = match ldap.emails.as_slice() {
        [] => preset.emails.iter().map(|&name| name.to_owned()).collect(),
        own => own.to_vec(),
    };
    Ok(LdapRepositorySettings {
        name: name.to_owned(),
        servers,
        authorities: ldap.authorities.clone(),
        server_name: ldap.server_name.clone(),
        login: Login {
            name: ldap.bind_dn.clone(),
            password: ldap.bind_password.clone(),
        },
        base: ldap.base.clone(),
        scope: match ldap.scope {
            LdapScope::Base => Scope::Base,
            LdapScope::One => Scope::One,
            LdapScope::Sub => Scope::Sub,
        },
        filter: or(&ldap.filter, preset.filter),
        attributes: LdapAttributes {
            id: or(&ldap.id, preset.id),
            emails,
            display_name: Some(or(&ldap.display_name, preset.display_name)),
            locale: Some(or(&ldap.locale, preset.locale)),
            groups: or(&ldap.member_of, preset.groups),
        },
        groups: ldap.groups.clone(),
        nested_groups: ldap.nested_groups,
        referral_hosts: ldap.referral_hosts.clone(),
        decoy: ldap.decoy_dn.clone(),
        timeout: users.lookup_deadline.saturating_sub(MARGIN),
        connections: CONNECTIONS as usize,
        local_part: users.local_part,
    })
}

/// The servers. One that is reached in the clear over a network must be wanted so.
fn servers(ldap: &Ldap, faults: &mut Violations) -> Vec<LdapServer> {
    let plain = if ldap.start_tls {
        Protection::StartTls
    } else {
        Protection::Plain
    };
    let mut servers = Vec::new();
    for (index, text) in ldap.servers.iter().enumerate() {
        let field = format!("servers[{index}]");
        let Some(server) = faults.check(&field, LdapServer::parse(text, plain)) else {
            continue;
        };
        if server.protection == Protection::Plain && !server.is_loopback() && !ldap.allow_plaintext {
            let text = "would be asked in the clear, passwords and all: use \"ldaps://\", `start_tls = true`, or say \
                        `allow_plaintext = true`";
            faults.add(&field, text);
        } else if server.protection == Protection::Plain && !server.is_loopback() {
            tracing::warn!(%server, "an LDAP server is asked in the clear: passwords cross the network");
        }
        servers.push(server);
    }
    servers
}
