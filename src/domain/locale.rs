//! Languages as the world writes them, brought to the form of BCP 47 (RFC 5646).
//!
//! `de_DE.UTF-8` of an operating system, `sr_RS@latin` of its C library, `de-CH,de;q=0.9,en;q=0.8` of a browser, `zh-CHT` of old
//! Windows. What names no language (`C`, `POSIX`, `*`, anything else) is none: a language only chooses the words of a mail, and
//! must never refuse one.

/// The most bytes that are looked at.
const MOST_BYTES: usize = 1024;

/// The most choices of a list that are looked at.
const MOST_CHOICES: usize = 32;

/// The most bytes of a tag (RFC 5646, 4.4.1): enough for every one in use.
const MOST_TAG: usize = 35;

/// The tag of the language that a text asks for, of a list the one that is wanted most; `None`: it asks for none.
#[must_use]
pub fn language_tag(text: &str) -> Option<String> {
    let text = text.get(..text.floor_char_boundary(MOST_BYTES))?;
    let mut wanted: Option<(u32, String)> = None;
    for choice in text.split(',').take(MOST_CHOICES) {
        let (name, parameters) = choice.split_once(';').unwrap_or((choice, ""));
        let weight = weight(parameters);
        // The first of those that are wanted alike.
        if weight > wanted.as_ref().map_or(0, |(most, _)| *most)
            && let Some(tag) = tag(name)
        {
            wanted = Some((weight, tag));
        }
    }
    wanted.map(|(_, tag)| tag)
}

/// How much a choice is wanted, in thousandths (RFC 9110, 12.4.2); 0: not at all. What cannot be read is not there.
fn weight(parameters: &str) -> u32 {
    let quality = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value: f32 = value.trim().parse().ok()?;
        (name.trim().eq_ignore_ascii_case("q") && value.is_finite()).then_some(value)
    });
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1000"
    )]
    quality.map_or(1000, |value| (value.clamp(0.0, 1.0) * 1000.0) as u32)
}

/// One language, as an operating system, a browser or a directory writes it.
fn tag(text: &str) -> Option<String> {
    let text = text.trim().trim_matches(['"', '\'', '\u{feff}']);
    // language[_territory][.codeset][@modifier] (POSIX, XBD 8.2).
    let (name, modifier) = text.split_once('@').unwrap_or((text, ""));
    let name = name.split('.').next().unwrap_or_default();
    let modifier = modifier.split('.').next().unwrap_or_default();
    let mut subtags: Vec<String> = Vec::new();
    for subtag in name.split(['-', '_']).filter(|subtag| !subtag.is_empty()) {
        if subtag.len() > 8 || !subtag.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            break;
        }
        let extended = subtags.iter().any(|before| before.len() == 1);
        subtags.push(in_case(subtag, subtags.is_empty() || extended));
    }
    let language = subtags.first_mut()?;
    // Of two or three letters (ISO 639); `und`, `mul` and `zxx` name none.
    let names_one =
        (2..=3).contains(&language.len()) && language.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !names_one || ["und", "mul", "zxx"].contains(&language.as_str()) {
        return None;
    }
    if let Some((_, today)) = [("iw", "he"), ("in", "id"), ("ji", "yi")]
        .into_iter()
        .find(|(former, _)| former == language)
    {
        today.clone_into(language);
    }
    let script = match modifier.to_ascii_lowercase().as_str() {
        "latin" | "latn" => Some("Latn"),
        "cyrillic" | "cyrl" => Some("Cyrl"),
        _ => None,
    };
    if let Some(script) = script.or_else(|| chinese_script(&mut subtags))
        && !subtags.iter().any(|subtag| is_script(subtag))
    {
        subtags.insert(1, script.to_owned());
    }
    Some(bounded(&subtags))
}

/// A subtag in the case it is written in (RFC 5646, 2.1.1): scripts `Hant`, regions `TW`, everything else in small letters.
fn in_case(subtag: &str, small: bool) -> String {
    let letters = subtag.bytes().all(|byte| byte.is_ascii_alphabetic());
    let mut written = subtag.to_ascii_lowercase();
    match written.get_mut(..1) {
        Some(first) if !small && letters && subtag.len() == 4 => first.make_ascii_uppercase(),
        _ if !small && letters && subtag.len() == 2 => written.make_ascii_uppercase(),
        _ => {}
    }
    written
}

fn is_script(subtag: &str) -> bool {
    subtag.len() == 4 && subtag.starts_with(|first: char| first.is_ascii_uppercase())
}

/// The script of Chinese that says only where it is written. `CHT` and `CHS` are what Windows called them, and no regions.
fn chinese_script(subtags: &mut Vec<String>) -> Option<&'static str> {
    if subtags.first().is_none_or(|language| language != "zh") {
        return None;
    }
    let place = subtags.iter().skip(1).find_map(|subtag| match subtag.as_str() {
        "TW" | "HK" | "MO" | "cht" => Some("Hant"),
        "CN" | "SG" | "MY" | "chs" => Some("Hans"),
        _ => None,
    });
    subtags.retain(|subtag| subtag != "cht" && subtag != "chs");
    place
}

/// As many subtags as fit.
fn bounded(subtags: &[String]) -> String {
    let mut tag = String::new();
    for subtag in subtags {
        if tag.len() + 1 + subtag.len() > MOST_TAG {
            break;
        }
        if !tag.is_empty() {
            tag.push('-');
        }
        tag.push_str(subtag);
    }
    tag
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn languages_are_read_as_the_world_writes_them() {
        for (text, tag) in [
            ("de", "de"),
            ("DE", "de"),
            ("de-ch", "de-CH"),
            ("de_DE", "de-DE"),
            ("de_DE.UTF-8", "de-DE"),
            ("de_DE.ISO-8859-15@euro", "de-DE"),
            ("de_DE@euro", "de-DE"),
            (" de-AT\n", "de-AT"),
            ("\"de\"", "de"),
            ("de-", "de"),
            ("de--CH", "de-CH"),
            ("sr_RS@latin", "sr-Latn-RS"),
            ("sr_RS.UTF-8@cyrillic", "sr-Cyrl-RS"),
            ("es-419", "es-419"),
            ("sl-rozaj-biske", "sl-rozaj-biske"),
            ("en-x-Mine", "en-x-mine"),
            ("de-DE-u-co-phonebk", "de-DE-u-co-phonebk"),
            ("iw_IL", "he-IL"),
            ("zh", "zh"),
            ("zh-TW", "zh-Hant-TW"),
            ("zh_TW.Big5", "zh-Hant-TW"),
            ("ZH-hk", "zh-Hant-HK"),
            ("zh-Hant", "zh-Hant"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("zh-Hans-TW", "zh-Hans-TW"),
            ("zh_CN", "zh-Hans-CN"),
            ("zh-SG", "zh-Hans-SG"),
            ("zh-CHT", "zh-Hant"),
            ("zh-CHS", "zh-Hans"),
            ("de-CH,de;q=0.9,en;q=0.8,*;q=0.5", "de-CH"),
            ("en;q=0.5, fr;q=0.7", "fr"),
            ("*, it", "it"),
            ("C, nl", "nl"),
            ("de;q=0, es;q=0.1", "es"),
            ("fr; q=nonsense", "fr"),
            ("de CH, fr", "fr"),
        ] {
            assert_eq!(language_tag(text).as_deref(), Some(tag), "{text:?}");
        }
    }

    #[test]
    fn what_names_no_language_is_none() {
        for text in [
            "",
            " ",
            "C",
            "POSIX",
            "C.UTF-8",
            "c",
            "*",
            "und",
            "x-mine",
            "i-default",
            "12",
            "d",
            "deutsch",
            "../../etc",
            "German (Germany)",
            "de;q=0",
            "{{ otp }}",
            "\u{202e}ed",
            ",,,,",
            "1033",
            "en\r\nBcc: x",
        ] {
            assert_eq!(language_tag(text), None, "{text:?}");
        }
        assert_eq!(language_tag(&"x".repeat(1_000_000)), None);
        assert_eq!(language_tag(&"de-abcdefgh".repeat(10_000)).as_deref(), Some("de"));
    }

    proptest! {
        #[test]
        fn a_tag_is_one_whatever_it_was_made_of(text in "(de|zh|[a-zA-Z]{1,9}|[-_.@;,=q ]|é|\u{0}){0,40}") {
            if let Some(tag) = language_tag(&text) {
                prop_assert!(tag.len() <= MOST_TAG);
                prop_assert!(tag.split('-').all(|part| (1..=8).contains(&part.len())));
                prop_assert_eq!(language_tag(&tag), Some(tag));
            }
        }
    }
}
