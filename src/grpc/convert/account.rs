//! Mail accounts. A password is wrapped as soon as it is seen, and goes in only.

use std::time::Duration;

use super::{
    account_secret::{read_secret, secret_of},
    identity, moment,
};
use crate::{
    domain::{
        account::{Account, AccountDraft, Secret, Security},
        address::{EmailAddress, LocalPart},
        id::AccountId,
        text::require_line,
        violation::Violations,
    },
    pb::v1 as pb,
    policy::{AccountInput, AccountRef, Obstacle, Standing, UPDATABLE},
};

/// An account to create.
pub(in crate::grpc) fn create_account(
    request: pb::CreateAccountRequest,
    rules: LocalPart,
) -> Result<AccountInput, Violations> {
    let mut faults = Violations::new();
    let input = whole(request.account, "account", rules, &mut faults);
    input.filter(|_| faults.is_empty()).ok_or(faults)
}

/// A checked update of an account.
#[derive(Debug)]
pub(in crate::grpc) struct Update {
    /// Which account.
    pub(in crate::grpc) id: AccountId,
    /// The new values.
    pub(in crate::grpc) input: AccountInput,
    /// Which of them count; empty: all.
    pub(in crate::grpc) mask: Vec<String>,
    /// The version it was made from.
    pub(in crate::grpc) version: Option<i64>,
}

/// An account to change. Values outside the mask are not looked at; those inside it are checked with what is saved.
pub(in crate::grpc) fn update_account(request: pb::UpdateAccountRequest) -> Result<Update, Violations> {
    let mut faults = Violations::new();
    let account = faults
        .check("account", request.account.ok_or("is required"))
        .unwrap_or_default();
    let id = faults.check("account.account_id", super::field::id(&account.account_id));
    let version = faults.check("account.etag", parse_etag(&account.etag));
    let mask = request.update_mask.unwrap_or_default().paths;
    for (index, path) in mask.iter().enumerate() {
        if !UPDATABLE.contains(&path.as_str()) {
            let field = format!("update_mask.paths[{index}]");
            faults.add(
                field,
                format_args!("{} is not a field that can be changed", shown(path)),
            );
        }
    }
    let input = input(account, "account.", &mask, &mut faults);
    match (id, version) {
        (Some(id), Some(version)) if faults.is_empty() => Ok(Update {
            id,
            input,
            mask,
            version,
        }),
        _ => Err(faults),
    }
}

/// An account to delete, and which version of it.
pub(in crate::grpc) fn delete_account(
    request: &pb::DeleteAccountRequest,
) -> Result<(AccountRef, Option<i64>), Violations> {
    let mut faults = Violations::new();
    let account = faults.check("account", reference(&request.account));
    let version = faults.check("etag", parse_etag(&request.etag));
    account.zip(version).ok_or(faults)
}

/// An account that a request names, by id or by name.
pub(in crate::grpc) fn named_account(text: &str) -> Result<AccountRef, Violations> {
    let mut faults = Violations::new();
    let account = faults.check("account", reference(text));
    account.ok_or(faults)
}

/// An account as administrators see it: all but its secret.
pub(in crate::grpc) fn account(account: Account, standing: Standing) -> pb::Account {
    let settings = account.settings;
    let warnings = settings.warnings();
    let login = settings.login.as_ref();
    let default_credentials = login.is_some_and(|login| login.secret == Secret::Default);
    let (authentication, username, secret, oauth) = match settings.login {
        None => (false, String::new(), None, None),
        Some(login) => {
            let (secret, oauth) = secret_of(login.secret);
            (true, login.username, secret, oauth)
        }
    };
    let security = super::preset::security(settings.server.security);
    let (sender, link) = (settings.sender, settings.link);
    let (client_certificate, client_key) = identity::shown(link.identity);
    let text = |address: Option<EmailAddress>| {
        address
            .map(|address| address.as_str().to_owned())
            .unwrap_or_default()
    };
    pb::Account {
        account_id: account.id.to_string(),
        name: settings.name,
        enabled: settings.enabled,
        is_default: account.is_default,
        host: settings.server.host,
        port: settings.server.port.into(),
        security: security.into(),
        authentication,
        username,
        secret,
        sender: sender.address.as_str().to_owned(),
        display_name: sender.display_name,
        reply_to: text(sender.reply_to),
        created_at: Some(moment(account.created_at)),
        updated_at: Some(moment(account.updated_at)),
        etag: format!("v{}", account.version),
        preset: settings.preset.name.to_owned(),
        return_path: text(sender.return_path),
        read_receipt: sender.read_receipt,
        confirmation_address: text(sender.confirmation),
        force_settings: sender.force,
        footnote_enabled: sender.footnote_enabled,
        footnote: sender.footnote,
        hello_name: link.hello_name.unwrap_or_default(),
        server_name: link.server_name.unwrap_or_default(),
        ca_certificates: link.authorities.unwrap_or_default(),
        ignore_certificate_errors: link.any_certificate,
        client_certificate,
        client_key,
        timeout: link.timeout.map(super::span),
        order: settings.order.into(),
        acknowledge_risks: false,
        warnings,
        messages_per_minute: super::count(settings.volume.per_minute),
        messages_per_day: super::count(settings.volume.per_day),
        standing: Some(shown_standing(standing)),
        tested_at: account.proof.map(|proof| moment(proof.at)),
        oauth,
        default_credentials,
    }
}

fn shown_standing(standing: Standing) -> pb::AccountStanding {
    let (state, until) = match standing.obstacle {
        None => (pb::AccountState::Working, None),
        Some(Obstacle::Resting(until)) => (pb::AccountState::Resting, Some(until)),
        Some(Obstacle::Spent(until)) => (pb::AccountState::Spent, Some(until)),
    };
    let mut shown = pb::AccountStanding {
        state: state.into(),
        until: until.map(moment),
        ..pb::AccountStanding::default()
    };
    if let Some(failure) = standing.last_failure {
        shown.failed_stage = super::delivery::stage(failure.stage).into();
        shown.last_failure = super::reply(failure.reply);
    }
    shown
}

/// An account that must be complete. Checked as the office will check it, so that its faults are told with the rest.
pub(super) fn whole(
    account: Option<pb::Account>,
    prefix: &str,
    rules: LocalPart,
    faults: &mut Violations,
) -> Option<AccountInput> {
    let account = faults.check(prefix, account.ok_or("is required"))?;
    let saved = !account.account_id.is_empty();
    let prefix = format!("{prefix}.");
    let input = input(account, &prefix, &[], faults);
    let mut draft = input.draft.clone();
    let kept = saved && draft.oauth.is_none() && !draft.default_credentials;
    if draft.secret.is_none() && (kept || input.password.is_some()) {
        // Stands for the secret that is sealed, or looked up, only later.
        draft.secret = Some(Secret::File(String::new()));
    }
    identity::stand_in(&mut draft.identity, input.client_key.is_some(), saved);
    if let Some(oauth) = &mut draft.oauth {
        super::oauth::stand_in(oauth, &input.oauth, saved);
    }
    if let Err(more) = draft.check(&prefix, rules) {
        for fault in more.as_slice() {
            if !faults.as_slice().iter().any(|known| known.field == fault.field) {
                faults.add(&fault.field, &fault.description);
            }
        }
    }
    Some(input)
}

/// Reads an account's name or identifier.
pub(super) fn reference(text: &str) -> Result<AccountRef, String> {
    require_line(text, 64).map_err(|error| error.to_string())?;
    Ok(match text.parse() {
        Ok(id) => AccountRef::Id(id),
        Err(_) => AccountRef::Name(text.to_owned()),
    })
}

/// The draft of an account. Fields outside `mask` raise no faults; an empty mask is all fields.
fn input(account: pb::Account, prefix: &str, mask: &[String], faults: &mut Violations) -> AccountInput {
    let counts = |name: &str| mask.is_empty() || mask.iter().any(|path| path == name);
    let mut ignored = Violations::new();
    let to = if counts("security") {
        &mut *faults
    } else {
        &mut ignored
    };
    let security = to.check(&format!("{prefix}security"), security(account.security));
    let timeout = account.timeout.filter(|_| counts("timeout")).map(duration);
    let timeout = faults.check(&format!("{prefix}timeout"), timeout.transpose());
    let to = if counts("secret") {
        &mut *faults
    } else {
        &mut ignored
    };
    let secret = account.secret.and_then(|secret| secret.source);
    let (secret, password) = to
        .check(&format!("{prefix}secret"), read_secret(secret))
        .unwrap_or_default();
    let key = account.client_key.filter(|_| counts("client_key"));
    let field = format!("{prefix}client_key");
    let (identity, client_key) = identity::draft(account.client_certificate, key, &field, faults);
    let oauth = account.oauth.filter(|_| counts("oauth"));
    let oauth = oauth.map(|oauth| super::oauth::draft(oauth, &format!("{prefix}oauth."), faults));
    let (oauth, values) = oauth.unzip();
    AccountInput {
        oauth: values.unwrap_or_default(),
        client_key,
        draft: AccountDraft {
            oauth,
            default_credentials: account.default_credentials,
            name: account.name,
            enabled: account.enabled,
            host: account.host,
            port: account.port,
            security: security.flatten(),
            authentication: account.authentication,
            username: account.username,
            secret,
            sender: account.sender,
            display_name: account.display_name,
            reply_to: account.reply_to,
            order: account.order,
            preset: account.preset,
            return_path: account.return_path,
            read_receipt: account.read_receipt,
            confirmation_address: account.confirmation_address,
            force_settings: account.force_settings,
            footnote_enabled: account.footnote_enabled,
            footnote: account.footnote,
            hello_name: account.hello_name,
            server_name: account.server_name,
            ca_certificates: account.ca_certificates,
            ignore_certificate_errors: account.ignore_certificate_errors,
            identity,
            timeout: timeout.flatten(),
            messages_per_minute: account.messages_per_minute,
            messages_per_day: account.messages_per_day,
            acknowledge_risks: account.acknowledge_risks,
            known_risks: Vec::new(),
        },
        password,
    }
}

/// A span of time; its bounds are checked with the whole account.
pub(super) fn duration(span: prost_types::Duration) -> Result<Duration, &'static str> {
    Duration::try_from(span).map_err(|_| "must not be negative")
}

/// Unspecified is left to the check of the whole account, which knows whether one is required.
pub(super) fn security(number: i32) -> Result<Option<Security>, &'static str> {
    match pb::ConnectionSecurity::try_from(number) {
        Ok(pb::ConnectionSecurity::Unspecified) => Ok(None),
        Ok(pb::ConnectionSecurity::ImplicitTls) => Ok(Some(Security::ImplicitTls)),
        Ok(pb::ConnectionSecurity::Starttls) => Ok(Some(Security::StartTls)),
        Ok(pb::ConnectionSecurity::None) => Ok(Some(Security::Plain)),
        Err(_) => Err("is not a connection security"),
    }
}

pub(super) fn parse_etag(text: &str) -> Result<Option<i64>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    text.strip_prefix('v')
        .and_then(|version| version.parse().ok())
        .map(Some)
        .ok_or("is not an etag of an account")
}

/// A path of a field mask, if it is one that can be shown.
pub(super) fn shown(path: &str) -> &str {
    let plain = (1..=64).contains(&path.len())
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._*".contains(&byte));
    if plain { path } else { "this" }
}
