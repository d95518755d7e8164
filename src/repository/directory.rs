//! The configured repositories as one: searched in order, or the one that is named.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use moka::sync::Cache;
use tokio::time::{Instant, timeout_at};

use crate::domain::address::AddressError;

use super::{Found, Password, Proof, RepositoryError, Route, SharedRepository, User, UserName};

/// Users remembered of one repository at the most, at well under a kilobyte each.
const REMEMBERED: u64 = 100_000;

/// When a search ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As soon as the answer is known, from memory where it is there: for callers who are told the truth anyway.
    Quick,
    /// Once every repository has answered, and none from memory: a user in the first takes as long as one in none.
    Even,
    /// The same, and not at all where one of them gives no answer: the answer is the same for whoever is in another and for
    /// whoever is in none.
    Alike,
}

/// Where to search.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// In all repositories, in configured order, that take the name.
    All,
    /// In these, in this order, where they take the name.
    Among(&'a [String]),
    /// In this one, whatever the name looks like.
    In(&'a str),
}

/// A name in the one form by which it is counted: a function of how it is written and of the routes alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameForm {
    /// The repository that is asked first; empty: none.
    pub repository: String,
    /// What it is asked for, folded.
    pub name: String,
}

/// One of the directory's repositories.
pub struct Member {
    repository: SharedRepository,
    route: Route,
    remembered: Option<Cache<String, User>>,
    answers: AtomicBool,
}

impl Member {
    /// A repository that takes the names that `route` says. What it finds is remembered for so long; zero: it is not.
    #[must_use]
    pub fn new(repository: SharedRepository, route: Route, remember: Duration) -> Self {
        let remembered = !remember.is_zero() && repository.is_distant();
        Self {
            remembered: remembered.then(|| {
                Cache::builder()
                    .max_capacity(REMEMBERED)
                    .time_to_live(remember)
                    .build()
            }),
            repository,
            route,
            answers: AtomicBool::new(true),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.repository.name()
    }

    /// Whether it answered when it was asked last.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }

    /// Whether it checks passwords.
    #[must_use]
    pub fn checks_passwords(&self) -> bool {
        self.repository.checks_passwords()
    }
}

/// The configured repositories.
///
/// The first one, in configured order, that knows a name decides: also where it holds no address for the user, or where
/// the name is not unique in it. Nobody else's address is looked for further down. A repository that gives no answer
/// decides too: the user might be there, so a namesake further down gets no mail.
pub struct Directory {
    members: Vec<Member>,
    deadline: Duration,
}

impl Directory {
    /// Of these repositories, in this order. A whole search, however many it asks, ends after `deadline`.
    #[must_use]
    pub fn new(members: Vec<Member>, deadline: Duration) -> Self {
        Self { members, deadline }
    }

    /// Looks a user up.
    pub async fn find(
        &self,
        user: &UserName,
        scope: Scope<'_>,
        pace: Pace,
    ) -> Result<Found, RepositoryError> {
        let until = Instant::now() + self.deadline;
        let asked = self.asked(user, scope)?;
        match pace {
            Pace::Quick => {
                for member in asked {
                    if let Some(answer) = decisive(self.ask(member, user, pace, until).await) {
                        return answer;
                    }
                }
                Ok(Found::Unknown)
            }
            Pace::Even | Pace::Alike => {
                let asking = asked.iter().map(|member| self.ask(member, user, pace, until));
                let mut answers = join_all(asking).await;
                if pace == Pace::Alike
                    && let Some(silent) = answers.iter().position(Result::is_err)
                {
                    return answers.swap_remove(silent);
                }
                answers
                    .into_iter()
                    .find_map(decisive)
                    .unwrap_or(Ok(Found::Unknown))
            }
        }
    }

    /// The one form of a name, by which it is counted whoever has it: the repository that is asked first, and the name it
    /// is asked for, as far as spellings of one name can be told to be that without asking anybody. `ann`, `CORP\ann` and
    /// `ann@corp.example.com` are one where one repository takes them and looks all of them up as `ann`.
    pub fn form(&self, user: &UserName, scope: Scope<'_>) -> Result<NameForm, RepositoryError> {
        let first = self.asked(user, scope)?.into_iter().next();
        Ok(match first {
            Some(member) => NameForm {
                repository: member.name().to_owned(),
                name: member.route.name_of(user).counted(),
            },
            // Nobody takes it, so nobody has it.
            None => NameForm {
                repository: String::new(),
                name: user.counted(),
            },
        })
    }

    /// What each repository that is asked for a user knows, with its name: nothing is decided, nothing remembered.
    pub async fn look_up(
        &self,
        user: &UserName,
        scope: Scope<'_>,
    ) -> Result<Vec<(String, Result<Found, RepositoryError>)>, RepositoryError> {
        let until = Instant::now() + self.deadline;
        let asked = self.asked(user, scope)?;
        let asking = asked.into_iter().map(async |member| {
            let answer = self.ask(member, user, Pace::Even, until).await;
            (member.name().to_owned(), answer)
        });
        Ok(join_all(asking).await)
    }

    /// Why addresses of a user that a repository holds cannot be used. `None`: it did not say, in time or at all.
    pub async fn unusable_addresses(&self, user: &UserName, repository: &str) -> Option<Vec<AddressError>> {
        let member = self.members.iter().find(|member| member.name() == repository)?;
        let user = member.route.name_of(user);
        let asked = member.repository.unusable_addresses(&user);
        timeout_at(Instant::now() + self.deadline, asked).await.ok()?.ok()
    }

    /// Whether any of the repositories that would be asked for a user checks passwords.
    pub fn checks_passwords(&self, user: &UserName, scope: Scope<'_>) -> Result<bool, RepositoryError> {
        let asked = self.asked(user, scope)?;
        Ok(asked.iter().any(|member| member.checks_passwords()))
    }

    /// Whether this is the password of a user that was found before. `None`: nobody was; it is wrong then, and that takes
    /// as long. What the search for the user took since it `began` is left off the time for it.
    pub async fn prove(
        &self,
        user: &UserName,
        scope: Scope<'_>,
        found: Option<(&str, &Proof)>,
        password: &Password,
        began: Instant,
    ) -> Result<bool, RepositoryError> {
        let until = began + self.deadline;
        let asked = self.asked(user, scope)?;
        let mut able = asked.into_iter().filter(|member| member.checks_passwords());
        let holder = found.and_then(|(name, _)| able.clone().find(|member| member.name() == name));
        let proof = found.map(|(_, proof)| proof).filter(|_| holder.is_some());
        let Some(member) = holder.or_else(|| able.next()) else {
            return Ok(false);
        };
        let proving = member.repository.prove(proof, password);
        let proved = timeout_at(until, proving)
            .await
            .unwrap_or_else(|_| Err(self.too_late(member)));
        let outcome = match &proved {
            Ok(true) => "right",
            Ok(false) => "wrong",
            Err(_) => "unavailable",
        };
        metrics::counter!(
            "mailfactor_repository_passwords_total",
            "repository" => member.name().to_owned(),
            "outcome" => outcome
        )
        .increment(1);
        proved
    }

    /// Forgets whom it remembers of a repository, or of all; says how many.
    pub fn forget(&self, repository: Option<&str>) -> Result<u64, RepositoryError> {
        let chosen = self
            .members
            .iter()
            .filter(|member| repository.is_none_or(|name| name == member.name()));
        let mut chosen = chosen.peekable();
        if repository.is_some() && chosen.peek().is_none() {
            return Err(RepositoryError::NotConfigured);
        }
        let caches = chosen.filter_map(|member| member.remembered.as_ref());
        Ok(caches
            .map(|cache| {
                cache.run_pending_tasks();
                let count = cache.entry_count();
                cache.invalidate_all();
                count
            })
            .sum())
    }

    /// Asks every repository whether it would answer, and notes it.
    pub async fn look_round(&self) {
        let probes = self.members.iter().map(async |member| {
            let probed = timeout_at(Instant::now() + self.deadline, member.repository.probe()).await;
            let answer = probed.unwrap_or_else(|_| Err(self.too_late(member)));
            Self::note(member, answer.err().as_ref());
        });
        join_all(probes).await;
    }

    /// The repositories, in the order they are searched.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    fn asked(&self, user: &UserName, scope: Scope<'_>) -> Result<Vec<&Member>, RepositoryError> {
        let find = |name: &str| {
            let found = self.members.iter().find(|member| member.name() == name);
            found.ok_or(RepositoryError::NotConfigured)
        };
        let candidates: Vec<&Member> = match scope {
            Scope::In(name) => return Ok(vec![find(name)?]),
            Scope::All => self.members.iter().collect(),
            Scope::Among(names) => names.iter().map(|name| find(name)).collect::<Result<_, _>>()?,
        };
        let routes = || self.members.iter().map(|member| &member.route);
        let takes = |member: &&Member| member.route.takes(user, routes());
        Ok(candidates.into_iter().filter(takes).collect())
    }

    async fn ask(
        &self,
        member: &Member,
        user: &UserName,
        pace: Pace,
        until: Instant,
    ) -> Result<Found, RepositoryError> {
        let user = member.route.name_of(user);
        let remembered = member.remembered.as_ref().filter(|_| pace == Pace::Quick);
        if let Some(known) = remembered.and_then(|cache| cache.get(user.as_str().trim())) {
            count_lookup(member, "remembered");
            return Ok(Found::User(Box::new(known)));
        }
        let answer = timeout_at(until, member.repository.find(&user))
            .await
            .unwrap_or_else(|_| Err(self.too_late(member)));
        if let (Some(cache), Ok(Found::User(found))) = (remembered, &answer) {
            let known = User {
                // Passwords are never checked against what was so a while ago.
                proof: Proof::default(),
                ..(**found).clone()
            };
            cache.insert(user.as_str().trim().to_owned(), known);
        }
        count_lookup(
            member,
            match &answer {
                Ok(Found::User(_)) => "found",
                Ok(Found::Unknown) => "unknown",
                Ok(Found::NoAddress) => "no_address",
                Ok(Found::Ambiguous) => "ambiguous",
                Err(_) => "unavailable",
            },
        );
        if member.is_answering() != answer.is_ok() {
            Self::note(member, answer.as_ref().err());
        }
        answer
    }

    fn note(member: &Member, failure: Option<&RepositoryError>) {
        let answers = failure.is_none();
        if member.answers.swap(answers, Ordering::Relaxed) != answers {
            if let Some(error) = failure {
                let error = error as &dyn std::error::Error;
                tracing::warn!(repository = %member.name(), error, "the repository gives no answer");
            } else {
                tracing::info!(repository = %member.name(), "the repository answers again");
            }
        }
        metrics::gauge!("mailfactor_repository_up", "repository" => member.name().to_owned())
            .set(if answers { 1.0 } else { 0.0 });
    }

    fn too_late(&self, member: &Member) -> RepositoryError {
        RepositoryError::Timeout {
            repository: member.name().to_owned(),
            limit: self.deadline,
        }
    }
}

fn count_lookup(member: &Member, outcome: &'static str) {
    metrics::counter!(
        "mailfactor_repository_lookups_total",
        "repository" => member.name().to_owned(),
        "outcome" => outcome
    )
    .increment(1);
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
            proof: Proof::default(),
        }))
    }

    async fn find(
        repositories: Vec<Fixed>,
        named: Option<&str>,
        pace: Pace,
    ) -> Result<Found, RepositoryError> {
        let repositories = repositories
            .into_iter()
            .map(|repository| Member::new(Arc::new(repository), Route::default(), Duration::ZERO))
            .collect();
        let user = UserName::parse("ann").unwrap();
        Directory::new(repositories, Duration::from_millis(2_500))
            .find(&user, named.map_or(Scope::All, Scope::In), pace)
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

    #[tokio::test(start_paused = true)]
    async fn alike_is_answered_for_who_is_found_and_for_who_is_not() {
        for first in [ann("a"), Found::NoAddress, Found::Ambiguous, Found::Unknown] {
            let one_silent = vec![Fixed("a", Some(first.clone())), Fixed("b", None)];
            let answer = find(one_silent, None, Pace::Alike).await;
            assert!(
                matches!(answer, Err(RepositoryError::Timeout { ref repository, .. }) if repository == "b"),
                "{first:?}"
            );
            let none = vec![Fixed("a", Some(first.clone())), Fixed("b", Some(Found::Unknown))];
            assert_eq!(find(none, None, Pace::Alike).await.unwrap(), first);
        }
    }
}
