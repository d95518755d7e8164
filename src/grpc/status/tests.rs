use super::*;
use crate::{
    domain::{budget::Lock, challenge::Standing},
    factor::{ResendError, StartError},
    policy::{AccountError, TestError},
};

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, DOMAIN);
    info.reason
}

fn retry(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

#[test]
fn budgets_say_how_long_to_wait() {
    let cases = [
        (
            resend(&ResendError::TooEarly(later(17)), NOW),
            "RESEND_TOO_EARLY",
            Some(17),
        ),
        (
            resend(&ResendError::OverBudget(later(600)), NOW),
            "SEND_BUDGET_SPENT",
            Some(600),
        ),
        (
            start(&StartError::OverBudget(later(1)), NOW),
            "SEND_BUDGET_SPENT",
            Some(1),
        ),
        (
            start(&StartError::UserLocked(Lock::Until(later(60))), NOW),
            "USER_LOCKED",
            Some(60),
        ),
        (
            start(&StartError::UserLocked(Lock::ForGood), NOW),
            "USER_LOCKED",
            None,
        ),
        (resend(&ResendError::NoMoreCodes, NOW), "SEND_BUDGET_SPENT", None),
    ];
    for (status, expected, seconds) in cases {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(reason(&status), expected);
        assert_eq!(retry(&status), seconds.map(Duration::from_secs));
    }
}

#[test]
fn the_cause_stays_behind_the_door() {
    let error = StoreError::Unavailable("password=hunter2".into());
    assert_eq!(
        Chain(&error).to_string(),
        "the store is unavailable: password=hunter2"
    );
    let status = start(&StartError::Store(error), NOW);
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason(&status), "STORE_UNAVAILABLE");
    assert!(!format!("{status:?}").contains("hunter2"));
}

#[test]
fn closed_and_unknown_are_apart() {
    let closed = resend(&ResendError::Closed(Standing::Expired), NOW);
    assert_eq!(
        (closed.code(), reason(&closed).as_str()),
        (Code::FailedPrecondition, "CHALLENGE_CLOSED")
    );
    let unknown = resend(&ResendError::Unknown, NOW);
    assert_eq!(
        (unknown.code(), reason(&unknown).as_str()),
        (Code::NotFound, "CHALLENGE_UNKNOWN")
    );
    let stale = test(&TestError::Account(AccountError::Stale));
    assert_eq!(
        (stale.code(), reason(&stale).as_str()),
        (Code::Aborted, "ETAG_STALE")
    );
}

#[test]
fn violations_are_named_and_bounded() {
    let mut faults = Violations::new();
    for index in 0..1_000 {
        faults.add(format!("states[{index}]"), "is no state");
    }
    let status = invalid(&faults);
    assert_eq!(reason(&status), "INVALID_FIELD");
    let named = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(named.len(), MOST_VIOLATIONS);
    assert_eq!(named.first().unwrap().field, "states[0]");
    assert!(status.details().len() < 6 * 1024);
}
