//! The settings of an account, as options of the command line.

use std::{io::Read as _, path::PathBuf};

use clap::Args;

use crate::{cli::out::CliError, pb::v1 as pb};

/// What an account is made of. Whatever is not given stays as it is.
#[derive(Args, Debug)]
pub(super) struct Settings {
    /// The mail server
    #[arg(long)]
    host: Option<String>,
    /// Its port; without it the usual one: 465 tls, 587 starttls, 25 none
    #[arg(long)]
    port: Option<u16>,
    /// How the connection is protected
    #[arg(long, value_enum)]
    security: Option<Security>,
    /// The user name at the mail server; with it the service logs in. `--username ""` switches that off
    #[arg(long)]
    username: Option<String>,
    /// Read the password from this file, once, and seal it; `-` for standard input
    #[arg(long, value_name = "FILE", group = "password")]
    password_file: Option<PathBuf>,
    /// Let the service read the secret from this file of its own at each login
    #[arg(long, value_name = "FILE", group = "password")]
    secret_file: Option<String>,
    /// Let the service read the secret from this environment variable of its own (`MAILFACTOR_SECRET_...`)
    #[arg(long, value_name = "NAME", group = "password")]
    secret_env: Option<String>,
    /// The address mail comes from
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// The name beside it
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Where replies go
    #[arg(long, value_name = "ADDRESS")]
    reply_to: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Security {
    /// TLS from the first byte
    Tls,
    /// STARTTLS, required
    Starttls,
    /// No encryption
    None,
}

impl Security {
    fn proto(self) -> pb::ConnectionSecurity {
        match self {
            Self::Tls => pb::ConnectionSecurity::ImplicitTls,
            Self::Starttls => pb::ConnectionSecurity::Starttls,
            Self::None => pb::ConnectionSecurity::None,
        }
    }
}

impl Settings {
    /// Sets what is given, and says which fields that were.
    pub(super) fn apply(self, account: &mut pb::Account) -> Result<Vec<String>, CliError> {
        let mut set: Vec<&str> = Vec::new();
        let mut text = |field: &'static str, value: Option<String>, slot: &mut String| {
            if let Some(value) = value {
                *slot = value;
                set.push(field);
            }
        };
        let username = self.username.clone();
        text("host", self.host, &mut account.host);
        text("username", self.username, &mut account.username);
        text("sender", self.sender, &mut account.sender);
        text("display_name", self.display_name, &mut account.display_name);
        text("reply_to", self.reply_to, &mut account.reply_to);
        if let Some(username) = username {
            account.authentication = !username.is_empty();
            set.push("authentication");
        }
        if let Some(port) = self.port {
            account.port = port.into();
            set.push("port");
        }
        if let Some(security) = self.security {
            account.security = security.proto().into();
            set.push("security");
        }
        let file = self.secret_file.map(pb::account_secret::Source::File);
        let environment = self.secret_env.map(pb::account_secret::Source::Environment);
        let password = self.password_file.map(|path| read_password(&path)).transpose()?;
        let source = file
            .or(environment)
            .or(password.map(pb::account_secret::Source::Password));
        if source.is_some() {
            account.secret = Some(pb::AccountSecret { source });
            set.push("secret");
        }
        Ok(set.into_iter().map(str::to_owned).collect())
    }
}

/// The password in a file, without the line end that editors and `echo` leave.
fn read_password(path: &PathBuf) -> Result<String, CliError> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(path).map(|content| text = content)
    };
    read.map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
