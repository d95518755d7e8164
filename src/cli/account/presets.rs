//! `account presets`.

use serde_json::json;

use super::{super::Outcome, List, out, show};
use crate::pb::v1 as pb;

pub(super) async fn run(list: List) -> Outcome {
    let mut client = list.client.connect().await?;
    let answer = client.policy.list_presets(pb::ListPresetsRequest {}).await?;
    let presets = answer.into_inner().presets;
    if list.json {
        out::json(&presets.iter().map(value).collect());
    } else {
        let rows: Vec<_> = presets.iter().map(row).collect();
        out::table(
            &["preset", "service", "server", "secret", "senders", "a day"],
            &rows,
        );
        for preset in &presets {
            out::say("");
            out::say(format!("{}: {}", preset.name, preset.help));
        }
    }
    Ok(())
}

fn row(preset: &pb::Preset) -> Vec<String> {
    let ports: Vec<String> = preset
        .ports
        .iter()
        .map(|port| format!("{} {}", port.port, show::security_word(port.security())))
        .collect();
    let server = if preset.host.is_empty() {
        "--host".to_owned()
    } else {
        format!("{} ({})", preset.host, ports.join(", "))
    };
    vec![
        preset.name.clone(),
        preset.title.clone(),
        server,
        preset.secret_name.clone(),
        match (preset.sender_domains.as_slice(), preset.sender_domains_only) {
            ([], _) => String::new(),
            (domains, true) => format!("at {}", domains.join(", ")),
            (domains, false) => format!("usually at {}", domains.join(", ")),
        },
        match preset.messages_per_day {
            0 => String::new(),
            count => count.to_string(),
        },
    ]
}

fn value(preset: &pb::Preset) -> serde_json::Value {
    let port = |port: &pb::PresetPort| json!({"port": port.port, "security": port.security().as_str_name()});
    json!({
        "name": preset.name,
        "title": preset.title,
        "host": preset.host,
        "ports": preset.ports.iter().map(port).collect::<Vec<_>>(),
        "authentication": preset.authentication,
        "secret_name": preset.secret_name,
        "sender_domains": preset.sender_domains,
        "sender_domains_only": preset.sender_domains_only,
        "messages_per_minute": preset.messages_per_minute,
        "messages_per_day": preset.messages_per_day,
        "other_hosts": preset.other_hosts,
        "oauth_provider": preset.oauth_provider().as_str_name(),
        "help": preset.help,
    })
}
