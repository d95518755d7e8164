//! Durations as people write them: `500ms`, `30s`, `5m`, `1h`, `7d`.

use std::time::Duration;

/// Reads a whole number and a unit.
pub fn parse(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str =
        "must be a whole number and a unit, such as \"500ms\", \"30s\", \"5m\", \"1h\" or \"7d\"";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(FORM)?;
    let number: u64 = number.parse().map_err(|_| FORM)?;
    let milliseconds = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(FORM),
    };
    number
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .ok_or("is longer than time itself")
}

/// Writes one, in its largest whole unit.
#[must_use]
pub fn write(span: Duration) -> String {
    let milliseconds = span.as_millis();
    [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")]
        .into_iter()
        .find(|(unit, _)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit))
        .map_or_else(
            || format!("{milliseconds}ms"),
            |(unit, name)| format!("{}{name}", milliseconds / unit),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        for text in ["500ms", "30s", "5m", "1h", "7d", "90s", "0ms"] {
            assert_eq!(write(parse(text).unwrap()), text);
        }
        for bad in [
            "",
            "5",
            "s",
            "5 parsecs",
            "-5s",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
