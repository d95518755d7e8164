//! Look-ups, and the repositories as administrators see them.

use crate::{
    domain::{text::check_line, violation::Violations},
    factor::{Finding, Known, LookUpRequest, RepositoryView, UserName},
    pb::v1 as pb,
};

/// What a repository is called where health is asked for.
pub(in crate::grpc) const HEALTH: &str = "repository/";

/// How many unusable addresses of one user an answer explains.
const MOST_REASONS: usize = 20;

/// A request to look a user up.
pub(in crate::grpc) fn look_up_user(request: pb::LookUpUserRequest) -> Result<LookUpRequest, Violations> {
    let mut faults = Violations::new();
    let user = faults.check("user", UserName::parse(&request.user));
    faults.check("repository", check_line(&request.repository, 64));
    match user {
        Some(user) if faults.is_empty() => Ok(LookUpRequest {
            user,
            repository: named(request.repository),
            unmasked: request.unmasked,
        }),
        _ => Err(faults),
    }
}

/// A request to forget users: whose.
pub(in crate::grpc) fn flush_users(request: pb::FlushUsersRequest) -> Result<Option<String>, Violations> {
    let mut faults = Violations::new();
    faults.check("repository", check_line(&request.repository, 64));
    faults.into_result().map(|()| named(request.repository))
}

/// What a repository knows.
pub(in crate::grpc) fn finding(finding: Finding) -> pb::Finding {
    let mut told = pb::Finding {
        repository: finding.repository,
        decides: finding.decides,
        unusable_addresses: finding
            .unusable
            .iter()
            .take(MOST_REASONS)
            .map(ToString::to_string)
            .collect(),
        unusable_address_count: i32::try_from(finding.unusable.len()).unwrap_or(i32::MAX),
        ..pb::Finding::default()
    };
    let result = match finding.known {
        Ok(Known::User {
            address,
            display_name,
            locale,
            id,
        }) => {
            told.address = address;
            told.display_name = display_name.unwrap_or_default();
            told.locale = locale.unwrap_or_default();
            told.user_id = id.unwrap_or_default();
            pb::LookUpResult::Found
        }
        Ok(Known::Unknown) => pb::LookUpResult::Unknown,
        Ok(Known::NoAddress) => pb::LookUpResult::NoAddress,
        Ok(Known::Ambiguous) => pb::LookUpResult::Ambiguous,
        Err(_) => pb::LookUpResult::Unavailable,
    };
    told.set_result(result);
    told
}

/// A repository.
pub(in crate::grpc) fn repository(view: RepositoryView) -> pb::Repository {
    pb::Repository {
        health_service: format!("{HEALTH}{}", view.name),
        name: view.name,
        answering: view.answering,
        checks_passwords: view.checks_passwords,
    }
}

fn named(repository: String) -> Option<String> {
    Some(repository).filter(|name| !name.is_empty())
}
