//! What a query of the operator's must look like: one SELECT that is given one thing, the user's name. And how each database
//! wants that thing written.

use super::databases::Query;

/// How a database writes parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Any way there is.
    Sqlite,
    /// `$1`.
    Postgres,
    /// `?`, once for each place.
    MySql,
}

/// Why a query is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryFault {
    /// It reads nothing.
    #[error("must be a SELECT (or WITH ... SELECT)")]
    NotASelect,
    /// More than one statement.
    #[error("must be a single statement")]
    SeveralStatements,
    /// It never asks for the user.
    #[error("must have the parameter `$1`: the user's name")]
    NoParameter,
    /// It asks for something else.
    #[error("may have no other parameter than `$1` (or `?1`, or a single `?`): the user's name")]
    OtherParameter,
    /// A quotation or comment does not end.
    #[error("has a quotation or comment that does not end")]
    Unfinished,
}

/// Checks a query.
pub(super) fn check(sql: &str) -> Result<(), QueryFault> {
    let bare = without_quotations(sql)?;
    let bare = bare.trim().trim_end_matches(';').trim_end();
    let first = bare.split_whitespace().next().unwrap_or_default();
    if !["select", "with"].contains(&first.to_ascii_lowercase().as_str()) {
        return Err(QueryFault::NotASelect);
    }
    if bare.contains(';') {
        return Err(QueryFault::SeveralStatements);
    }
    let found = parameters(bare);
    let single = found.as_slice() == ["?"];
    let numbered = found.iter().all(|name| matches!(name.as_str(), "$1" | "?1"));
    match (found.is_empty(), single || numbered) {
        (true, _) => Err(QueryFault::NoParameter),
        (_, false) => Err(QueryFault::OtherParameter),
        _ => Ok(()),
    }
}

/// The query as a database wants it. It was checked before.
pub(super) fn written(sql: &str, dialect: Dialect) -> Query {
    let sign = match dialect {
        Dialect::Sqlite => None,
        Dialect::Postgres => Some("$1"),
        Dialect::MySql => Some("?"),
    };
    let (mut text, mut binds) = (String::new(), 0);
    for piece in pieces(sql).unwrap_or_default() {
        match (piece, sign) {
            (Piece::Bare(bare), Some(sign)) => {
                let mut after = 0;
                for (start, end) in places(bare) {
                    text.push_str(bare.get(after..start).unwrap_or_default());
                    text.push_str(sign);
                    (after, binds) = (end, binds + 1);
                }
                text.push_str(bare.get(after..).unwrap_or_default());
            }
            (Piece::Bare(kept) | Piece::Quoted(kept), _) => text.push_str(kept),
        }
    }
    Query {
        text: text.into(),
        binds: if dialect == Dialect::MySql { binds } else { 1 },
    }
}

/// The query with a space in place of everything quoted or commented out.
fn without_quotations(sql: &str) -> Result<String, QueryFault> {
    let bare = pieces(sql)?.into_iter().map(|piece| match piece {
        Piece::Bare(text) => text,
        Piece::Quoted(_) => " ",
    });
    Ok(bare.collect())
}

/// A part of a query.
enum Piece<'a> {
    /// What the database reads.
    Bare(&'a str),
    /// A quotation or a comment, with its signs.
    Quoted(&'a str),
}

fn pieces(sql: &str) -> Result<Vec<Piece<'_>>, QueryFault> {
    let mut found = Vec::new();
    let (mut rest, mut bare) = (sql, 0);
    while let Some(character) = rest.get(bare..).unwrap_or_default().chars().next() {
        let here = rest.get(bare..).unwrap_or_default();
        let (open, close) = match character {
            '\'' => ("'", "'"),
            '"' => ("\"", "\""),
            '`' => ("`", "`"),
            '[' => ("[", "]"),
            '-' if here.starts_with("--") => ("--", "\n"),
            '/' if here.starts_with("/*") => ("/*", "*/"),
            _ => {
                bare += character.len_utf8();
                continue;
            }
        };
        let inside = here.get(open.len()..).unwrap_or_default();
        // A doubled quote inside a quotation begins another one right away, which comes to the same.
        let length = match inside.find(close) {
            Some(end) => open.len() + end + close.len(),
            None if close == "\n" => here.len(),
            None => return Err(QueryFault::Unfinished),
        };
        found.push(Piece::Bare(rest.get(..bare).unwrap_or_default()));
        found.push(Piece::Quoted(here.get(..length).unwrap_or_default()));
        rest = here.get(length..).unwrap_or_default();
        bare = 0;
    }
    found.push(Piece::Bare(rest));
    Ok(found)
}

/// Every parameter, as it is written.
fn parameters(bare: &str) -> Vec<String> {
    let text = |(start, end): (usize, usize)| bare.get(start..end).unwrap_or_default().to_owned();
    places(bare).into_iter().map(text).collect()
}

/// Where parameters begin and end.
fn places(bare: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut before = ' ';
    for (index, character) in bare.char_indices() {
        // `$` may stand within a name; `::` is a cast.
        let within_name = before.is_alphanumeric() || before == '_' || before == '$';
        let begins = match character {
            '?' | '@' => true,
            '$' => !within_name,
            ':' => before != ':' && !bare.get(index + 1..).unwrap_or_default().starts_with(':'),
            _ => false,
        };
        if begins {
            let after = bare.get(index + 1..).unwrap_or_default();
            let end = after
                .find(|next: char| !next.is_alphanumeric() && next != '_')
                .unwrap_or(after.len());
            found.push((index, index + 1 + end));
        }
        before = character;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_select_with_one_parameter() {
        for good in [
            "SELECT id, email FROM users WHERE name = $1",
            "select id, email from users where name = ?",
            "SELECT id, email FROM users WHERE name = ?1 OR alias = ?1;",
            "WITH u AS (SELECT * FROM users) SELECT id, email FROM u WHERE lower(name) = lower($1) ;\n",
            "SELECT id, email FROM users -- ; by $2, really?\nWHERE name = $1 AND kind <> '; ?2 it''s'",
            "/* :name */ SELECT \"a?b\", [c;d] FROM users WHERE name = $1",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, fault) in [
            ("", QueryFault::NotASelect),
            ("DELETE FROM users WHERE name = $1", QueryFault::NotASelect),
            (
                "SELECT 1 WHERE 1 = $1; DROP TABLE users",
                QueryFault::SeveralStatements,
            ),
            ("SELECT id, email FROM users", QueryFault::NoParameter),
            (
                "SELECT id, email FROM users WHERE name = '$1'",
                QueryFault::NoParameter,
            ),
            ("SELECT 1 WHERE a = $1 AND b = $2", QueryFault::OtherParameter),
            ("SELECT 1 WHERE a = ? AND b = ?", QueryFault::OtherParameter),
            ("SELECT 1 WHERE a = :name", QueryFault::OtherParameter),
            ("SELECT 1 WHERE a = @name", QueryFault::OtherParameter),
            ("SELECT 1 WHERE a = $10", QueryFault::OtherParameter),
            ("SELECT 1 WHERE a = '$1", QueryFault::Unfinished),
        ] {
            assert_eq!(check(bad), Err(fault), "{bad}");
        }
    }

    #[test]
    fn each_database_gets_its_own_sign() {
        let sql = "SELECT a -- $1\nFROM t WHERE b = '$1' AND (c = $1 OR d=?1)";
        for (dialect, text, binds) in [
            (Dialect::Sqlite, sql, 1),
            (
                Dialect::Postgres,
                "SELECT a -- $1\nFROM t WHERE b = '$1' AND (c = $1 OR d=$1)",
                1,
            ),
            (
                Dialect::MySql,
                "SELECT a -- $1\nFROM t WHERE b = '$1' AND (c = ? OR d=?)",
                2,
            ),
        ] {
            let query = written(sql, dialect);
            assert_eq!((&*query.text, query.binds), (text, binds));
        }
    }
}
