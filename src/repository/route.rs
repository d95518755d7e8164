//! Which repositories a name belongs to, by how it is written: `DOMAIN\ann`, `ann@domain` or `ann`.

use unicode_normalization::UnicodeNormalization as _;

use super::UserName;

/// Which names a repository is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The domains whose users it holds. Names in one of them are looked up in the repositories that claim it, and nowhere
    /// else. None: it is asked for names in any domain that nobody claims.
    pub domains: Vec<String>,
    /// Whether it is asked for names without a domain.
    pub bare_names: bool,
    /// Whether `ann@domain`, in a domain of its own, is looked up as `ann`. `DOMAIN\ann` always is.
    pub strip_domain: bool,
}

impl Default for Route {
    /// Every name, as it is written.
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            bare_names: true,
            strip_domain: false,
        }
    }
}

impl Route {
    fn claims(&self, domain: &str) -> bool {
        self.domains.iter().any(|own| own.eq_ignore_ascii_case(domain))
    }

    /// The name under which this repository is asked for a user.
    pub(super) fn name_of(&self, user: &UserName) -> UserName {
        let bare = match Written::of(user.as_str()) {
            Written::Before(domain, bare) if self.claims(domain) => bare,
            Written::Behind(domain, bare) if self.strip_domain && self.claims(domain) => bare,
            _ => return user.clone(),
        };
        // Nothing but a domain is no name: it is looked up as it is, and nobody has it.
        UserName::parse(bare).unwrap_or_else(|_| user.clone())
    }

    /// Whether this one of `all` repositories is asked for a user.
    pub(super) fn takes<'a>(&self, user: &UserName, mut all: impl Iterator<Item = &'a Self>) -> bool {
        match Written::of(user.as_str()) {
            Written::Bare => self.bare_names,
            Written::Before(domain, _) | Written::Behind(domain, _) => {
                self.claims(domain) || (self.domains.is_empty() && !all.any(|other| other.claims(domain)))
            }
        }
    }
}

/// The one form of a name for everybody who may mean the same by it: compatible characters and letters of any case are
/// one (as directories compare them, RFC 4518), runs of space are one space, and what is not seen is left out.
pub(super) fn counted(name: &str) -> String {
    let is_seen = |letter: &char| !is_invisible(*letter);
    // In upper case first: letters that have no lower case of their own (`ß`, `ſ`) become what they stand for.
    let cased = name.nfkc().filter(is_seen).collect::<String>().to_uppercase();
    let folded: String = cased.to_lowercase().nfkc().collect();
    let mut words = folded.split_whitespace();
    let mut form = words.next().unwrap_or_default().to_owned();
    for word in words {
        form.push(' ');
        form.push_str(word);
    }
    form
}

/// Whether a character takes no room: soft hyphens, joiners, selectors of variants.
const fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// How a name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written<'a> {
    Bare,
    /// `DOMAIN\ann`.
    Before(&'a str, &'a str),
    /// `ann@domain`.
    Behind(&'a str, &'a str),
}

impl<'a> Written<'a> {
    fn of(name: &'a str) -> Self {
        let name = name.trim();
        if let Some((domain, bare)) = name.split_once('\\') {
            return Self::Before(domain, bare);
        }
        match name.rsplit_once('@') {
            Some((bare, domain)) => Self::Behind(domain, bare),
            None => Self::Bare,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    #[test]
    fn names_go_where_their_domain_is_claimed() {
        let corp = Route {
            domains: vec!["CORP".into(), "corp.example.com".into()],
            ..Route::default()
        };
        let partners = Route {
            domains: vec!["partner.example".into()],
            bare_names: false,
            strip_domain: true,
        };
        let rest = Route::default();
        let all = [corp, partners, rest];
        for (text, asked) in [
            ("ann", [true, false, true]),
            ("corp\\ann", [true, false, false]),
            ("ann@CORP.example.com", [true, false, false]),
            ("ann@partner.example", [false, true, false]),
            ("ann@elsewhere.example", [false, false, true]),
            ("OTHER\\ann", [false, false, true]),
            ("x@y@partner.example", [false, true, false]),
        ] {
            for (route, asked) in all.iter().zip(asked) {
                assert_eq!(route.takes(&name(text), all.iter()), asked, "{text} {route:?}");
            }
        }
        let [corp, partners, rest] = &all;
        let asked = |route: &Route, text: &str| route.name_of(&name(text)).as_str().to_owned();
        assert_eq!(asked(corp, "CORP\\ann"), "ann");
        assert_eq!(asked(corp, "ann@corp.example.com"), "ann@corp.example.com");
        assert_eq!(asked(partners, "ann@partner.example"), "ann");
        assert_eq!(asked(rest, "CORP\\ann"), "CORP\\ann");
        assert_eq!(asked(corp, "CORP\\"), "CORP\\");
    }

    #[test]
    fn names_that_may_mean_the_same_have_one_form() {
        for (one, other) in [
            ("Ann", " ann "),
            ("ANN  EXAMPLE", "ann example"),
            ("\u{ff41}nn", "ann"),
            ("stra\u{df}e", "STRASSE"),
            ("e\u{301}va", "\u{c9}VA"),
            ("an\u{ad}n\u{200d}", "ann"),
            ("\u{fb01}n", "FIN"),
        ] {
            assert_eq!(counted(one), counted(other), "{one} {other}");
        }
        assert_ne!(counted("ann"), counted("anne"));
        for name in crate::repository::hostile_names() {
            let form = counted(&name);
            assert_eq!(counted(&form), form, "{name:?}: the form of a form is the form");
        }
    }

    #[test]
    fn no_name_breaks_the_routes() {
        let route = Route {
            domains: vec!["x".into()],
            bare_names: true,
            strip_domain: true,
        };
        for text in crate::repository::hostile_names() {
            if let Ok(user) = UserName::parse(&text) {
                route.takes(&user, [&route].into_iter());
                route.name_of(&user);
            }
        }
    }
}
