//! CSV as RFC 4180 has it, safe to open in a spreadsheet.

/// A line of cells, with its end.
#[must_use]
pub fn line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for (index, text) in cells.into_iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        push_cell(&mut line, text);
    }
    line.push_str("\r\n");
    line
}

/// What a formula begins with.
const FORMULA: [char; 11] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
];

fn push_cell(line: &mut String, text: &str) {
    // What begins so is run as a formula (OWASP, "CSV Injection"), in full width too; a mail server's reply could.
    let defuse = if text.starts_with(FORMULA) { "'" } else { "" };
    if text.contains([',', '"', '\r', '\n']) {
        line.push('"');
        line.push_str(defuse);
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(defuse);
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(line(["a", "", "b c"]), "a,,b c\r\n");
        assert_eq!(
            line(["a,b", "say \"x\"", "1\n2"]),
            "\"a,b\",\"say \"\"x\"\"\",\"1\n2\"\r\n"
        );
    }

    #[test]
    fn no_cell_is_a_formula() {
        for start in ["=", "+", "-", "@", "\t", "\u{ff1d}", "\u{ff20}"] {
            assert_eq!(line([format!("{start}1+1").as_str()]), format!("'{start}1+1\r\n"));
        }
        assert_eq!(line(["\r=1"]), "\"'\r=1\"\r\n");
        assert_eq!(line(["=A1,B1"]), "\"'=A1,B1\"\r\n");
        assert_eq!(line(["a=1"]), "a=1\r\n");
    }
}
