-- Everything the service keeps. Moments are microseconds since 1970 in UTC, identifiers and keyed hashes are raw bytes,
-- truth values are 0 and 1. What could be somebody's secret or address is sealed before it comes here.
-- The types are SQLite's; PostgreSQL reads BLOB as BYTEA and INTEGER as BIGINT, and knows no STRICT.

-- One row for each challenge. No query joins it with another table: it may move to another engine one day.
CREATE TABLE challenges (
    id               BLOB    NOT NULL PRIMARY KEY,
    caller           TEXT    NOT NULL,
    purpose          INTEGER NOT NULL,
    alphabet         TEXT    NOT NULL,
    code_length      INTEGER NOT NULL,
    code_key         TEXT    NOT NULL,
    user_hash        BLOB    NOT NULL,
    address_hash     BLOB    NOT NULL,
    decoy            INTEGER NOT NULL,
    state            INTEGER NOT NULL,
    code_number      INTEGER NOT NULL,
    most_codes       INTEGER NOT NULL,
    codes_before     INTEGER NOT NULL,
    attempts         INTEGER NOT NULL,
    most_attempts    INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    resend_at        INTEGER NOT NULL,
    verified_at      INTEGER,
    masked_recipient TEXT    NOT NULL,
    event            TEXT    NOT NULL,
    endpoint         TEXT    NOT NULL,
    context          BLOB    NOT NULL,
    -- The keyed hashes of caller and request id, and of what was asked: they make a start safe to repeat.
    request_id       BLOB    UNIQUE,
    request_contents BLOB,
    CHECK (attempts <= most_attempts)
) STRICT;

CREATE INDEX challenges_expiry ON challenges (expires_at);

-- How many mails a user, an address or a caller has had.
CREATE TABLE send_budgets (
    subject   BLOB    NOT NULL PRIMARY KEY,
    full_at   INTEGER NOT NULL,
    day_began INTEGER NOT NULL,
    today     INTEGER NOT NULL
) STRICT;

CREATE INDEX send_budgets_day ON send_budgets (day_began);

-- Wrong codes of a user in a row. Never purged: only a right code or an administrator clears it.
CREATE TABLE guess_budgets (
    user_hash    BLOB    NOT NULL PRIMARY KEY,
    failures     INTEGER NOT NULL,
    locked_until INTEGER -- The end of time where the lock holds until it is lifted.
) STRICT;

-- Mails owed, and what became of them.
CREATE TABLE outbox (
    id               BLOB    NOT NULL PRIMARY KEY,
    kind             INTEGER NOT NULL,
    challenge        BLOB,
    decoy            INTEGER NOT NULL,
    state            INTEGER NOT NULL,
    submitted_at     INTEGER NOT NULL,
    sent_at          INTEGER,
    expires_at       INTEGER NOT NULL,
    next_attempt_at  INTEGER,
    masked_recipient TEXT    NOT NULL,
    subject          TEXT    NOT NULL,
    account          TEXT    NOT NULL,
    attempts         INTEGER NOT NULL,
    last_error       TEXT    NOT NULL,
    message_id       TEXT    NOT NULL,
    mail             BLOB    NOT NULL,
    lease            BLOB,
    leased_until     INTEGER NOT NULL,
    -- Whether the present lease counts among the copies of unknown fate, and how many of those there are.
    charged          INTEGER NOT NULL,
    unsure           INTEGER NOT NULL
) STRICT;

-- States 1 and 3 are those in which the mail is still owed. A handful of rows, however long the table is.
CREATE INDEX outbox_due ON outbox (next_attempt_at, leased_until, expires_at)
    WHERE state IN (1, 3) AND decoy = 0;
CREATE INDEX outbox_expiring ON outbox (expires_at, leased_until)
    WHERE state IN (1, 3) AND decoy = 0;
CREATE INDEX outbox_challenge ON outbox (challenge, submitted_at, id)
    WHERE challenge IS NOT NULL;
-- Holds every column that a report filters by, so that the table is read only for the rows shown.
CREATE INDEX outbox_report ON outbox (submitted_at, id, decoy, state, account);

-- Every attempt to send.
CREATE TABLE attempts (
    entry       BLOB    NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    duration    INTEGER NOT NULL, -- Microseconds.
    account     TEXT    NOT NULL,
    stage       TEXT    NOT NULL,
    reply_code  INTEGER,
    reply       TEXT    NOT NULL,
    outcome     INTEGER NOT NULL,
    PRIMARY KEY (entry, number)
) STRICT;

-- Mail accounts.
CREATE TABLE accounts (
    id           BLOB    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL UNIQUE,
    is_default   INTEGER NOT NULL,
    enabled      INTEGER NOT NULL,
    host         TEXT    NOT NULL,
    port         INTEGER NOT NULL,
    security     TEXT    NOT NULL,
    username     TEXT,
    secret_kind  TEXT,
    secret       BLOB,
    sender       TEXT    NOT NULL,
    display_name TEXT    NOT NULL,
    reply_to     TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    version      INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX accounts_default ON accounts (is_default) WHERE is_default = 1;

-- Who may call. Of its API keys two are live at the most.
CREATE TABLE callers (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    role        TEXT    NOT NULL,
    see_users   INTEGER NOT NULL,
    key_newest  BLOB,
    key_before  BLOB,
    certificate BLOB    UNIQUE,
    created_at  INTEGER NOT NULL,
    rotated_at  INTEGER
) STRICT;

-- Written and read to learn whether a start would succeed.
CREATE TABLE probe (
    id INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;
