//! `demo --keep`: goes on serving, says what to try, shows mails as they come.

use std::{fs, net::SocketAddr};

use tokio::sync::mpsc;

use super::{Keys, catcher::Caught, sandbox::Sandbox, telling};
use crate::cli::out::{self, Style, styled};

/// Shows mails until it is dropped: the caller waits for the signal.
pub(super) async fn serve(
    sandbox: &Sandbox,
    mails: &mut mpsc::Receiver<Caught>,
    grpc: SocketAddr,
    metrics: Option<SocketAddr>,
    keys: &Keys,
) {
    invite(sandbox, grpc, metrics, keys);
    let mut number = 0;
    while let Some(mail) = mails.recv().await {
        number += 1;
        let name = format!("mail/{number:04}.eml");
        let kept = fs::write(sandbox.path(&name), &mail.message)
            .and_then(|()| fs::write(sandbox.path("mail/latest.eml"), &mail.message));
        out::say("");
        out::say(styled(
            Style::Heading,
            &format!("A mail for {}", mail.recipients.join(", ")),
        ));
        telling::show_mail(&mail);
        if kept.is_ok() {
            out::say(styled(
                Style::Faint,
                &format!("  {}", sandbox.path(&name).display()),
            ));
        }
    }
}

fn invite(sandbox: &Sandbox, grpc: SocketAddr, metrics: Option<SocketAddr>, keys: &Keys) {
    let service = "mailfactor.v1.EmailOtpAuthenticator";
    let call = |key: &str, data: &str, method: &str| {
        format!("  grpcurl -plaintext -H 'authorization: Bearer {key}' -d '{data}' {grpc} {method}")
    };
    let lines = [
        String::new(),
        styled(Style::Heading, "Still serving, until Ctrl-C. To try:"),
        String::new(),
        "  # What there is to call".to_owned(),
        format!("  grpcurl -plaintext {grpc} describe {service}"),
        String::new(),
        "  # Send bo a code; the mail appears here".to_owned(),
        call(
            &keys.server,
            r#"{"user": "bo", "event": "vpn", "wait_for_mail_server": true}"#,
            &format!("{service}/StartChallenge"),
        ),
        String::new(),
        "  # Verify it: put in the challenge and the code".to_owned(),
        call(
            &keys.server,
            r#"{"challenge_id": "CHALLENGE", "code": "CODE"}"#,
            &format!("{service}/VerifyCode"),
        ),
        String::new(),
        "  # The outbox, as an administrator sees it".to_owned(),
        call(&keys.admin, "{}", "mailfactor.v1.MailOutbox/ListEntries"),
        String::new(),
        "  # The same from the command line".to_owned(),
        format!(
            "  export MAILFACTOR_SERVER=http://{grpc} MAILFACTOR_API_KEY={}",
            keys.admin
        ),
        "  mailfactor challenge start ann --wait".to_owned(),
        "  mailfactor outbox list".to_owned(),
        format!(
            "  mailfactor --config {} user show ann",
            sandbox.path("mailfactor.toml").display()
        ),
        String::new(),
        format!("  # Users: {}", sandbox.path("users.toml").display()),
        format!("  # Mails: {}", sandbox.path("mail").display()),
        metrics.map_or_else(String::new, |address| {
            format!("  # Metrics: http://{address}/metrics")
        }),
    ];
    for line in lines {
        out::say(line);
    }
}
