//! How the story is told: chapters, calls, answers, mails.

use super::{catcher::Caught, reading};
use crate::cli::out::{self, Style, styled};

/// A chapter.
pub(super) fn step(title: &str) {
    out::say("");
    out::say(styled(Style::Heading, &format!("* {title}")));
}

/// What is called.
pub(super) fn call(text: &str) {
    out::say(format_args!("   {}", styled(Style::Faint, text)));
}

/// An answer that lets in.
pub(super) fn good(text: &str) {
    out::say(format_args!("   -> {}", styled(Style::Good, text)));
}

/// An answer that refuses.
pub(super) fn bad(text: &str) {
    out::say(format_args!("   -> {}", styled(Style::Bad, text)));
}

/// What else there is to say.
pub(super) fn note(text: &str) {
    out::say(format_args!("   -> {text}"));
}

/// A mail, indented, as a mail program would show it.
pub(super) fn show_mail(mail: &Caught) {
    let edge = styled(Style::Faint, "|");
    for header in reading::headers(&mail.message) {
        out::say(format_args!("   {edge} {}", styled(Style::Faint, &header)));
    }
    out::say(format_args!("   {edge}"));
    for line in reading::text(&mail.message).unwrap_or_default().lines() {
        out::say(format_args!("   {edge} {line}").to_string().trim_end());
    }
}
