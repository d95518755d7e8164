//! What a mail says, as a mail program reads it.

use mail_parser::MessageParser;

/// The code of six digits that a mail carries: alone on a line of its text.
pub fn code(mail: &str) -> String {
    let parsed = MessageParser::default().parse(mail.as_bytes()).expect("a mail");
    let text = parsed.body_text(0).expect("a text").into_owned();
    let code = text.lines().map(|line| line.replace(' ', "").trim().to_owned());
    let mut codes = code.filter(|line| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit()));
    codes.next().unwrap_or_else(|| panic!("no code in:\n{text}"))
}
