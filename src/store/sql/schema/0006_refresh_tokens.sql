-- Refresh tokens that a token endpoint replaced, sealed, each under the keyed hash of the one an administrator gave. One
-- instance at a time uses a token: the one whose turn it is.
CREATE TABLE refresh_tokens (
    given      BLOB    NOT NULL PRIMARY KEY,
    token      BLOB,
    turn       BLOB    NOT NULL,
    turn_until INTEGER NOT NULL, -- 0: nobody's.
    used_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX refresh_tokens_used ON refresh_tokens (used_at);
