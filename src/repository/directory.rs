//! The configured repositories as one: searched in order, or the one that is named.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::{Found, RepositoryError, SharedRepository, UserName};

/// When a search ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As soon as the answer is known: for callers who are told the truth anyway.
    Quick,
    /// Once every repository has answered: a user in the first takes as long as one in none.
    Even,
}

/// The configured repositories.
///
/// The first one, in configured order, that knows a name decides: also where it holds no address for the user, or where
/// the name is not unique in it. Nobody else's address is looked for further down. A repository that gives no answer
/// decides too: the user might be there, so a namesake further down gets no mail.
pub struct Directory {
    repositories: Vec<SharedRepository>,
    deadline: Duration,
}

impl Directory {
    /// Of these repositories, in this order. A whole search, however many it asks, ends after `deadline`.
    #[must_use]
    pub fn new(repositories: Vec<SharedRepository>, deadline: Duration) -> Self {
        Self {
            repositories,
            deadline,
        }
    }

    /// Looks a user up in the repositories that are `named`, in that order; none: in all of them.
    pub async fn find(&self, user: &UserName, named: &[&str], pace: Pace) -> Result<Found, RepositoryError> {
        let until = Instant::now() + self.deadline;
        let asked = self.asked(named)?;
        match pace {
            Pace::Quick => {
                for repository in asked {
                    if let Some(answer) = decisive(self.ask(repository, user, until).await) {
                        return answer;
                    }
                }
                Ok(Found::Unknown)
            }
            Pace::Even => {
                let asking = asked.iter().map(|repository| self.ask(repository, user, until));
                let answers = join_all(asking).await;
                answers
                    .into_iter()
                    .find_map(decisive)
                    .unwrap_or(Ok(Found::Unknown))
            }
        }
    }

    fn asked(&self, named: &[&str]) -> Result<Vec<&SharedRepository>, RepositoryError> {
        if named.is_empty() {
            return Ok(self.repositories.iter().collect());
        }
        let find = |name: &&str| {
            let found = self.repositories.iter().find(|known| known.name() == *name);
            found.ok_or(RepositoryError::NotConfigured)
        };
        named.iter().map(find).collect()
    }

    async fn ask(
        &self,
        repository: &SharedRepository,
        user: &UserName,
        until: Instant,
    ) -> Result<Found, RepositoryError> {
        let answer = timeout_at(until, repository.find(user))
            .await
            .unwrap_or_else(|_| {
                Err(RepositoryError::Timeout {
                    repository: repository.name().to_owned(),
                    limit: self.deadline,
                })
            });
        let outcome = match &answer {
            Ok(Found::User(_)) => "found",
            Ok(Found::Unknown) => "unknown",
            Ok(Found::NoAddress) => "no_address",
            Ok(Found::Ambiguous) => "ambiguous",
            Err(_) => "unavailable",
        };
        metrics::counter!(
            "mailfactor_repository_lookups_total",
            "repository" => repository.name().to_owned(),
            "outcome" => outcome
        )
        .increment(1);
        answer
    }
}

/// The answer, unless it leaves the question to the next repository.
fn decisive(answer: Result<Found, RepositoryError>) -> Option<Result<Found, RepositoryError>> {
    (!matches!(answer, Ok(Found::Unknown))).then_some(answer)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;

    use super::super::{User, UserRepository};
    use super::*;
    use crate::domain::address::{EmailAddress, LocalPart};

    /// A repository with one answer for everybody; a list that never changes needs nothing more.
    struct Fixed(&'static str, Option<Found>);

    #[async_trait]
    impl UserRepository for Fixed {
        fn name(&self) -> &str {
            self.0
        }

        async fn find(&self, _: &UserName) -> Result<Found, RepositoryError> {
            match self.1.clone() {
                Some(found) => Ok(found),
                None => std::future::pending().await,
            }
        }
    }

    fn ann(repository: &str) -> Found {
        Found::User(Box::new(User {
            repository: repository.into(),
            id: "ann".into(),
            address: EmailAddress::parse("ann@example.com", LocalPart::Ascii).unwrap(),
            display_name: None,
            locale: None,
        }))
    }

    async fn find(
        repositories: Vec<Fixed>,
        named: Option<&str>,
        pace: Pace,
    ) -> Result<Found, RepositoryError> {
        let repositories = repositories
            .into_iter()
            .map(|repository| Arc::new(repository) as SharedRepository)
            .collect();
        let user = UserName::parse("ann").unwrap();
        Directory::new(repositories, Duration::from_millis(2_500))
            .find(&user, named.as_slice(), pace)
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_knows_the_name_decides() {
        for pace in [Pace::Quick, Pace::Even] {
            let two = || {
                vec![
                    Fixed("a", Some(Found::Unknown)),
                    Fixed("b", Some(ann("b"))),
                    Fixed("c", Some(ann("c"))),
                ]
            };
            assert_eq!(find(two(), None, pace).await.unwrap(), ann("b"));
            assert_eq!(find(two(), Some("c"), pace).await.unwrap(), ann("c"));
            assert!(matches!(
                find(two(), Some("d"), pace).await,
                Err(RepositoryError::NotConfigured)
            ));
            for undecided in [Found::NoAddress, Found::Ambiguous] {
                let first = vec![Fixed("a", Some(undecided.clone())), Fixed("b", Some(ann("b")))];
                assert_eq!(find(first, None, pace).await.unwrap(), undecided);
            }
            assert_eq!(find(vec![], None, pace).await.unwrap(), Found::Unknown);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_decides_unless_somebody_was_found_before_it() {
        for pace in [Pace::Quick, Pace::Even] {
            let began = Instant::now();
            let silent_first = vec![Fixed("a", None), Fixed("b", None), Fixed("c", Some(ann("c")))];
            let answer = find(silent_first, None, pace).await;
            assert!(
                matches!(answer, Err(RepositoryError::Timeout { ref repository, .. }) if repository == "a")
            );
            // One deadline for the whole search, not one for each repository; the clock of the test is paused.
            assert!(began.elapsed() < Duration::from_secs(3));
            let silent_last = vec![Fixed("a", Some(ann("a"))), Fixed("b", None)];
            assert_eq!(find(silent_last, None, pace).await.unwrap(), ann("a"));
        }
    }
}
