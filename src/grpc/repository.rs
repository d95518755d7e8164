//! `UserRepositories`: parse, call the desk, map.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{caller, convert, status};
use crate::{factor::Desk, pb::v1 as pb};

/// The service over the desk.
pub(super) struct Repositories {
    pub(super) desk: Arc<Desk>,
}

#[tonic::async_trait]
impl pb::user_repositories_server::UserRepositories for Repositories {
    async fn list_repositories(
        &self,
        _request: Request<pb::ListRepositoriesRequest>,
    ) -> Result<Response<pb::ListRepositoriesResponse>, Status> {
        let repositories = self.desk.repositories().into_iter();
        Ok(Response::new(pb::ListRepositoriesResponse {
            repositories: repositories.map(convert::repository).collect(),
        }))
    }

    async fn look_up_user(
        &self,
        request: Request<pb::LookUpUserRequest>,
    ) -> Result<Response<pb::LookUpUserResponse>, Status> {
        let caller = caller::of(&request)?;
        let request =
            convert::look_up_user(request.into_inner()).map_err(|faults| status::invalid(&faults))?;
        let findings = self.desk.look_up(&caller, request).await;
        let findings = findings.map_err(|error| status::look_up(&error))?;
        Ok(Response::new(pb::LookUpUserResponse {
            findings: findings.into_iter().map(convert::finding).collect(),
        }))
    }

    async fn flush_users(
        &self,
        request: Request<pb::FlushUsersRequest>,
    ) -> Result<Response<pb::FlushUsersResponse>, Status> {
        let caller = caller::of(&request)?;
        let repository =
            convert::flush_users(request.into_inner()).map_err(|faults| status::invalid(&faults))?;
        let forgotten = self.desk.flush(&caller, repository.as_deref());
        let forgotten = forgotten.map_err(|error| status::look_up(&error))?;
        Ok(Response::new(pb::FlushUsersResponse {
            forgotten: i64::try_from(forgotten).unwrap_or(i64::MAX),
        }))
    }
}
