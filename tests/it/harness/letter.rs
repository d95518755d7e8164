//! What a mail says, as a mail program reads it.

use std::collections::HashMap;

use mail_parser::MessageParser;

use super::smtp::{Captured, SmtpServer};

/// The code of six digits that a mail carries: alone on a line of its text.
pub fn code(mail: &str) -> String {
    let parsed = MessageParser::default().parse(mail.as_bytes()).expect("a mail");
    let text = parsed.body_text(0).expect("a text").into_owned();
    let code = text.lines().map(|line| line.replace(' ', "").trim().to_owned());
    let mut codes = code.filter(|line| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit()));
    codes.next().unwrap_or_else(|| panic!("no code in:\n{text}"))
}

/// The code or temporary password that a mail carries, whatever it is made of: the line of its text that is set apart.
pub fn otp(mail: &Captured) -> String {
    let parsed = MessageParser::default()
        .parse(mail.data.as_bytes())
        .expect("a mail");
    let text = parsed.body_text(0).expect("a text").into_owned();
    let mut apart = text.lines().filter_map(|line| line.strip_prefix("    "));
    apart
        .next()
        .unwrap_or_else(|| panic!("no code in:\n{text}"))
        .trim()
        .to_owned()
}

/// The address that a mail went to.
pub fn recipient(mail: &Captured) -> String {
    let path = mail
        .recipient
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    path.map_or(mail.recipient.as_str(), |(path, _)| path).to_owned()
}

/// The newest code of each recipient.
pub fn codes(mails: &[Captured]) -> HashMap<String, String> {
    mails
        .iter()
        .map(|mail| (recipient(mail), code(&mail.data)))
        .collect()
}

/// Waits for a mail to this address; the code of the newest.
pub async fn newest_to(smtp: &SmtpServer, address: &str) -> String {
    let mut seen = 0;
    loop {
        let mails = smtp.wait_for_mails(seen + 1).await;
        if let Some(code) = codes(&mails).remove(address) {
            return code;
        }
        seen = mails.len();
    }
}

/// A code of six digits that is not this one.
pub fn another(code: &str) -> String {
    let number: u32 = code.parse().unwrap();
    format!("{:06}", (number + 1) % 1_000_000)
}
