-- Keys that sign the mails of an account. A key lies here sealed, or the path or variable where it lies.
CREATE TABLE dkim_keys (
    id          BLOB    NOT NULL UNIQUE,
    account     BLOB    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    selector    TEXT    NOT NULL,
    domain      TEXT    NOT NULL,
    enabled     INTEGER NOT NULL,
    algorithm   TEXT    NOT NULL,
    public_key  BLOB    NOT NULL,
    secret_kind TEXT    NOT NULL,
    secret      BLOB    NOT NULL,
    updated_at  INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    PRIMARY KEY (account, selector)
) STRICT;
