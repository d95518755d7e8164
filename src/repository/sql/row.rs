//! A column as a text, whatever type the database keeps it in.

use std::fmt::Write as _;

use sqlx::{Row as _, TypeInfo as _, ValueRef as _, mysql::MySqlRow, postgres::PgRow, sqlite::SqliteRow};

use super::LookupError;

/// A row whose columns can be read as texts; `None`: NULL.
pub(super) trait Texts {
    fn text(&self, column: &str) -> Result<Option<String>, LookupError>;
}

impl Texts for SqliteRow {
    fn text(&self, column: &str) -> Result<Option<String>, LookupError> {
        Ok(self.try_get_unchecked::<Option<String>, _>(column)?)
    }
}

impl Texts for PgRow {
    fn text(&self, column: &str) -> Result<Option<String>, LookupError> {
        let value = self.try_get_raw(column)?;
        if value.is_null() {
            return Ok(None);
        }
        // Numbers and identifiers come as bytes.
        let number = match value.type_info().name() {
            "INT2" => i64::from(self.try_get::<i16, _>(column)?),
            "INT4" => i64::from(self.try_get::<i32, _>(column)?),
            "INT8" => self.try_get::<i64, _>(column)?,
            "UUID" => return Ok(Some(uuid(value.as_bytes().map_err(sqlx::Error::Decode)?))),
            "NUMERIC" | "FLOAT4" | "FLOAT8" | "BOOL" | "JSONB" | "BYTEA" => return Err(LookupError::NotText),
            _ => return Ok(self.try_get_unchecked::<Option<String>, _>(column)?),
        };
        Ok(Some(number.to_string()))
    }
}

impl Texts for MySqlRow {
    fn text(&self, column: &str) -> Result<Option<String>, LookupError> {
        let value = self.try_get_raw(column)?;
        if value.is_null() {
            return Ok(None);
        }
        let name = value.type_info().name().to_owned();
        if name.contains("INT") {
            let number = if name.ends_with("UNSIGNED") {
                self.try_get_unchecked::<u64, _>(column)?.to_string()
            } else {
                self.try_get_unchecked::<i64, _>(column)?.to_string()
            };
            return Ok(Some(number));
        }
        match name.as_str() {
            "FLOAT" | "DOUBLE" | "BOOLEAN" | "BIT" | "DATE" | "TIME" | "DATETIME" | "TIMESTAMP" | "YEAR" => {
                Err(LookupError::NotText)
            }
            _ => Ok(self.try_get_unchecked::<Option<String>, _>(column)?),
        }
    }
}

/// The sixteen bytes as they are written (RFC 9562, 4).
fn uuid(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}
