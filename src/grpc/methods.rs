//! Every method that is served, and who may call it. What is not in this table is not served, even if a service for it
//! were registered by mistake.

use crate::domain::caller::Role;

/// A method.
#[derive(Debug)]
pub(super) struct Method {
    /// Its path on the wire.
    pub(super) path: &'static str,
    /// Who may call it.
    pub(super) access: Access,
    /// How it talks.
    pub(super) kind: Kind,
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody, known or not.
    Public,
    /// Callers with one of these roles.
    Roles(&'static [Role]),
}

/// How a method talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One message each way.
    Call,
    /// One message each way, so cheap that it is answered under overload too.
    Pulse,
    /// One message in, any number out.
    Watch,
    /// Any number both ways.
    Dialogue,
}

const USERS: Access = Access::Roles(&[Role::Authenticator, Role::Endpoint, Role::Admin]);
const READERS: Access = Access::Roles(&[Role::Admin, Role::Auditor]);
const ADMINS: Access = Access::Roles(&[Role::Admin]);

const fn call(path: &'static str, access: Access) -> Method {
    method(path, access, Kind::Call)
}

const fn method(path: &'static str, access: Access, kind: Kind) -> Method {
    Method { path, access, kind }
}

static METHODS: &[Method] = &[
    call("/mailfactor.v1.EmailOtpAuthenticator/StartChallenge", USERS),
    call("/mailfactor.v1.EmailOtpAuthenticator/ResendCode", USERS),
    call("/mailfactor.v1.EmailOtpAuthenticator/VerifyCode", USERS),
    call("/mailfactor.v1.EmailOtpAuthenticator/CancelChallenge", USERS),
    call("/mailfactor.v1.EmailOtpAuthenticator/GetChallenge", USERS),
    method(
        "/mailfactor.v1.EmailOtpAuthenticator/WatchChallenge",
        USERS,
        Kind::Watch,
    ),
    call("/mailfactor.v1.MailSenderPolicy/CreateAccount", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/GetAccount", READERS),
    call("/mailfactor.v1.MailSenderPolicy/ListAccounts", READERS),
    call("/mailfactor.v1.MailSenderPolicy/UpdateAccount", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/DeleteAccount", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/SetDefaultAccount", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/ListPresets", READERS),
    call("/mailfactor.v1.MailSenderPolicy/TestConnection", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/SendTestMessage", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/GetOtpPolicy", READERS),
    call("/mailfactor.v1.MailSenderPolicy/UpdateOtpPolicy", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/ResetOtpPolicy", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/ListEvents", READERS),
    call("/mailfactor.v1.MailSenderPolicy/CreateEvent", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/DeleteEvent", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/GetSending", READERS),
    call("/mailfactor.v1.MailSenderPolicy/SetSending", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/ListTemplates", READERS),
    call("/mailfactor.v1.MailSenderPolicy/GetTemplate", READERS),
    call("/mailfactor.v1.MailSenderPolicy/UpdateTemplate", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/ResetTemplate", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/PreviewTemplate", READERS),
    call("/mailfactor.v1.MailSenderPolicy/ListDkimKeys", READERS),
    call("/mailfactor.v1.MailSenderPolicy/SetDkimKey", ADMINS),
    call("/mailfactor.v1.MailSenderPolicy/DeleteDkimKey", ADMINS),
    call("/mailfactor.v1.MailOutbox/ListEntries", READERS),
    call("/mailfactor.v1.MailOutbox/GetEntry", READERS),
    call("/mailfactor.v1.MailOutbox/RequeueEntry", ADMINS),
    method("/mailfactor.v1.MailOutbox/ExportEntries", READERS, Kind::Watch),
    call("/mailfactor.v1.MailInbox/CreateInbox", ADMINS),
    call("/mailfactor.v1.MailInbox/GetInbox", READERS),
    call("/mailfactor.v1.MailInbox/ListInboxes", READERS),
    call("/mailfactor.v1.MailInbox/UpdateInbox", ADMINS),
    call("/mailfactor.v1.MailInbox/DeleteInbox", ADMINS),
    call("/mailfactor.v1.MailInbox/TestInbox", ADMINS),
    call("/mailfactor.v1.MailInbox/CheckInbox", ADMINS),
    method("/mailfactor.v1.MailOutbox/WatchEntries", READERS, Kind::Watch),
    call("/mailfactor.v1.MailAudit/ListAuditEvents", READERS),
    call("/mailfactor.v1.UserRepositories/ListRepositories", READERS),
    call("/mailfactor.v1.UserRepositories/LookUpUser", READERS),
    call("/mailfactor.v1.UserRepositories/FlushUsers", ADMINS),
    method("/grpc.health.v1.Health/Check", Access::Public, Kind::Pulse),
    method("/grpc.health.v1.Health/Watch", Access::Public, Kind::Watch),
];

static REFLECTION: [Method; 2] = [
    method(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Access::Public,
        Kind::Dialogue,
    ),
    method(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Access::Public,
        Kind::Dialogue,
    ),
];

/// The method of a path, if it is served.
pub(super) fn find(path: &str, reflection: bool) -> Option<&'static Method> {
    let optional: &[Method] = if reflection { &REFLECTION } else { &[] };
    METHODS.iter().chain(optional).find(|method| method.path == path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message as _;

    use super::*;
    use crate::pb;

    /// Path, whether the server streams, and the roles that the method's comment names.
    fn described() -> BTreeMap<String, (bool, Vec<Role>)> {
        let set = prost_types::FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap();
        let mut found = BTreeMap::new();
        for file in set.file.iter().filter(|file| file.package() == "mailfactor.v1") {
            let comments = &file.source_code_info.as_ref().unwrap().location;
            for (s, service) in (0..).zip(&file.service) {
                for (m, method) in (0..).zip(&service.method) {
                    assert!(!method.client_streaming());
                    let comment = comments
                        .iter()
                        .find(|comment| comment.path == [6, s, 2, m])
                        .unwrap();
                    let roles = comment.leading_comments().split("Roles: ").nth(1).unwrap();
                    let roles = roles.trim().trim_end_matches('.').split(", ");
                    let mut roles: Vec<Role> = roles.map(|name| Role::from_name(name).unwrap()).collect();
                    roles.sort_unstable();
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    found.insert(path, (method.server_streaming(), roles));
                }
            }
        }
        found
    }

    #[test]
    fn the_table_is_the_protocol() {
        let ours = METHODS
            .iter()
            .filter(|method| method.path.starts_with("/mailfactor."));
        let table: BTreeMap<String, (bool, Vec<Role>)> = ours
            .map(|method| {
                let Access::Roles(roles) = method.access else {
                    panic!("{} is public", method.path)
                };
                let mut roles = roles.to_vec();
                roles.sort_unstable();
                (method.path.to_owned(), (method.kind == Kind::Watch, roles))
            })
            .collect();
        assert_eq!(table, described());
    }

    #[test]
    fn nothing_else_is_served() {
        assert!(find("/mailfactor.v1.MailOutbox/Nothing", true).is_none());
        assert!(find("/mailfactor.v1.MailOutbox/GetEntry/", true).is_none());
        let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        assert!(find(reflection, false).is_none());
        assert!(find(reflection, true).is_some());
    }
}
