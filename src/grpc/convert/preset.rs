//! The mail services that are known.

use crate::{
    domain::{
        account::Security,
        preset::{Preset, Senders},
    },
    pb::v1 as pb,
};

/// All of them.
pub(in crate::grpc) fn presets() -> pb::ListPresetsResponse {
    pb::ListPresetsResponse {
        presets: Preset::all().iter().map(preset).collect(),
    }
}

fn preset(preset: &Preset) -> pb::Preset {
    let (domains, only): (&[&str], bool) = match preset.senders {
        Senders::Any => (&[], false),
        Senders::Usually(domains) => (domains, false),
        Senders::Only(domains) => (domains, true),
    };
    let ports = preset.ports.iter().map(|&(port, kind)| pb::PresetPort {
        port: port.into(),
        security: security(kind).into(),
    });
    let count = |limit: u32| i32::try_from(limit).unwrap_or(i32::MAX);
    pb::Preset {
        name: preset.name.to_owned(),
        title: preset.title.to_owned(),
        host: preset.host().to_owned(),
        ports: ports.collect(),
        authentication: preset.authentication,
        secret_name: preset.secret.to_owned(),
        sender_domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
        sender_domains_only: only,
        messages_per_minute: count(preset.per_minute),
        messages_per_day: count(preset.per_day),
        help: preset.help.to_owned(),
        other_hosts: preset.hosts.iter().skip(1).map(|&host| host.to_owned()).collect(),
        oauth_provider: super::oauth::provider(preset.oauth).into(),
    }
}

/// How a connection is protected.
pub(super) fn security(security: Security) -> pb::ConnectionSecurity {
    match security {
        Security::ImplicitTls => pb::ConnectionSecurity::ImplicitTls,
        Security::StartTls => pb::ConnectionSecurity::Starttls,
        Security::Plain => pb::ConnectionSecurity::None,
    }
}
