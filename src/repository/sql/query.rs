//! What a query of the operator's must look like: one SELECT that is given one thing, the user's name.

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

/// The query with a space in place of everything quoted or commented out.
fn without_quotations(sql: &str) -> Result<String, QueryFault> {
    let mut bare = String::new();
    let mut rest = sql;
    while let Some(character) = rest.chars().next() {
        let (open, close) = match character {
            '\'' => ("'", "'"),
            '"' => ("\"", "\""),
            '`' => ("`", "`"),
            '[' => ("[", "]"),
            '-' if rest.starts_with("--") => ("--", "\n"),
            '/' if rest.starts_with("/*") => ("/*", "*/"),
            _ => {
                bare.push(character);
                rest = rest.get(character.len_utf8()..).unwrap_or_default();
                continue;
            }
        };
        let inside = rest.get(open.len()..).unwrap_or_default();
        // A doubled quote inside a quotation begins another one right away, which comes to the same.
        rest = match inside.split_once(close) {
            Some((_, after)) => after,
            None if close == "\n" => "",
            None => return Err(QueryFault::Unfinished),
        };
        bare.push(' ');
    }
    Ok(bare)
}

/// Every parameter, as it is written.
fn parameters(bare: &str) -> Vec<String> {
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
            found.push(format!("{character}{}", after.get(..end).unwrap_or_default()));
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
}
