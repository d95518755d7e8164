-- Inboxes: what an administrator set, who is reading and how far, and how that went. A handful of rows.
CREATE TABLE inboxes (
    id              BLOB    NOT NULL PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    enabled         INTEGER NOT NULL,
    automatic_check INTEGER NOT NULL,
    keep_copy       INTEGER NOT NULL,
    check_interval  INTEGER NOT NULL, -- Microseconds.
    protocol        TEXT    NOT NULL,
    host            TEXT    NOT NULL,
    port            INTEGER NOT NULL,
    security        TEXT    NOT NULL,
    server_name     TEXT,
    authorities     TEXT,
    any_certificate INTEGER NOT NULL,
    username        TEXT    NOT NULL,
    secret_kind     TEXT    NOT NULL,
    secret          BLOB    NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    -- One instance reads at a time.
    lease           BLOB,
    leased_until    INTEGER NOT NULL,
    next_check_at   INTEGER NOT NULL,
    last_check_at   INTEGER,
    last_success_at INTEGER,
    last_error      TEXT    NOT NULL,
    failures        INTEGER NOT NULL,
    messages_read   INTEGER NOT NULL,
    reports_matched INTEGER NOT NULL,
    -- What was read: of IMAP the highest UID, of POP3 keyed hashes of 16 bytes, one after the other.
    uid_validity    INTEGER NOT NULL,
    last_uid        INTEGER NOT NULL,
    seen            BLOB    NOT NULL
) STRICT;

-- What was told of mails after they were sent. One of a kind and status for each mail, 8 at the most.
CREATE TABLE reports (
    entry       BLOB    NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    kind        INTEGER NOT NULL,
    status      TEXT    NOT NULL,
    text        TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (entry, kind, status)
) STRICT;
