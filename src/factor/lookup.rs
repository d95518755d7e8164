//! Look up: what the repositories know of a name, for administrators. And what else they want of repositories: which there
//! are, and that what is remembered of them be forgotten.

use super::Desk;
use crate::{
    domain::{
        address::AddressError,
        caller::{Caller, Role},
    },
    repository::{Found, RepositoryError, Scope, UserName},
};

/// A checked request to look a user up.
#[derive(Clone, Debug)]
pub struct LookUpRequest {
    /// Whom.
    pub user: UserName,
    /// In this repository alone.
    pub repository: Option<String>,
    /// Whether to show all as it is.
    pub unmasked: bool,
}

/// What a repository knows of a name.
#[derive(Debug)]
pub struct Finding {
    /// The repository.
    pub repository: String,
    /// What it knows.
    pub known: Result<Known, RepositoryError>,
    /// Whether a start would go by it.
    pub decides: bool,
    /// Why addresses that it holds for the user cannot be used.
    pub unusable: Vec<AddressError>,
}

/// What is known, as far as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// One user.
    User {
        /// The address, masked or as it is.
        address: String,
        /// How to address the user; only unmasked.
        display_name: Option<String>,
        /// The language.
        locale: Option<String>,
        /// What names the user there; only unmasked.
        id: Option<String>,
    },
    /// Nobody.
    Unknown,
    /// Somebody without a usable address.
    NoAddress,
    /// Several.
    Ambiguous,
}

/// A repository as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryView {
    /// Its name.
    pub name: String,
    /// Whether it answered when it was asked last.
    pub answering: bool,
    /// Whether it checks passwords.
    pub checks_passwords: bool,
}

/// Why nothing was looked up, or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum LookUpError {
    /// No repository of that name.
    #[error("no repository of that name is configured")]
    RepositoryNotConfigured,
    /// This caller sees no user unmasked.
    #[error("this caller may not see users unmasked")]
    UnmaskedNotAllowed,
}

impl Desk {
    /// Looks a user up in every repository that takes the name.
    #[tracing::instrument(name = "factor.lookup", skip_all, fields(caller.name = %caller.name))]
    pub async fn look_up(
        &self,
        caller: &Caller,
        request: LookUpRequest,
    ) -> Result<Vec<Finding>, LookUpError> {
        if request.unmasked && caller.role != Role::Admin {
            return Err(LookUpError::UnmaskedNotAllowed);
        }
        if request.unmasked {
            tracing::info!("a user is looked up unmasked");
        }
        let scope = request.repository.as_deref().map_or(Scope::All, Scope::In);
        let answers = self.directory.look_up(&request.user, scope).await;
        let answers = answers.map_err(|_| LookUpError::RepositoryNotConfigured)?;
        let mut settled = false;
        let finding = |(repository, answer): (String, Result<Found, RepositoryError>)| {
            let decides = !settled && !matches!(answer, Ok(Found::Unknown));
            settled |= decides;
            Finding {
                repository,
                known: answer.map(|found| self.shown(found, request.unmasked)),
                decides,
                unusable: Vec::new(),
            }
        };
        let mut findings: Vec<Finding> = answers.into_iter().map(finding).collect();
        for found in &mut findings {
            if let Ok(Known::User { .. } | Known::NoAddress) = found.known {
                let unusable = self
                    .directory
                    .unusable_addresses(&request.user, &found.repository)
                    .await;
                found.unusable = unusable.unwrap_or_default();
            }
        }
        Ok(findings)
    }

    /// Forgets whom this instance remembers of a repository, or of all; says how many.
    #[tracing::instrument(name = "factor.flush", skip_all, fields(caller.name = %caller.name))]
    pub fn flush(&self, caller: &Caller, repository: Option<&str>) -> Result<u64, LookUpError> {
        let forgotten = self.directory.forget(repository);
        let forgotten = forgotten.map_err(|_| LookUpError::RepositoryNotConfigured)?;
        tracing::info!(forgotten, "remembered users were forgotten");
        Ok(forgotten)
    }

    /// The repositories, in the order they are searched.
    #[must_use]
    pub fn repositories(&self) -> Vec<RepositoryView> {
        self.directory
            .members()
            .map(|member| RepositoryView {
                name: member.name().to_owned(),
                answering: member.is_answering(),
                checks_passwords: member.checks_passwords(),
            })
            .collect()
    }

    fn shown(&self, found: Found, unmasked: bool) -> Known {
        match found {
            Found::User(user) if unmasked => Known::User {
                address: user.address.as_str().to_owned(),
                display_name: user.display_name,
                locale: user.locale,
                id: Some(user.id),
            },
            Found::User(user) => Known::User {
                address: self.policies.current().default.mask.apply(&user.address),
                display_name: None,
                locale: user.locale,
                id: None,
            },
            Found::Unknown => Known::Unknown,
            Found::NoAddress => Known::NoAddress,
            Found::Ambiguous => Known::Ambiguous,
        }
    }
}
