-- Versions before this one may work beside it.
-- Request ids of codes that were submitted, and what each counted: keyed hashes of caller, challenge and request id, and of
-- what was asked, the code included. Kept as long as the challenge.
CREATE TABLE guess_requests (
    id            BLOB    NOT NULL PRIMARY KEY,
    contents      BLOB    NOT NULL,
    verdict       INTEGER NOT NULL,
    attempts_left INTEGER NOT NULL,
    verified_at   INTEGER,
    expires_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX guess_requests_expiry ON guess_requests (expires_at);
