//! Whom a challenge is for: the name that was asked for, and who that is. Sealed wherever it is kept.

use serde::{Deserialize, Serialize};

/// Who was asked for, and who that was found to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The name, as the caller gave it.
    pub name: String,
    /// The one repository to look in, where the caller named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Who that is; `None`: nobody who can be mailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
}

/// A user, however the name is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserId {
    /// The repository.
    pub repository: String,
    /// What names the user there.
    pub id: String,
}
