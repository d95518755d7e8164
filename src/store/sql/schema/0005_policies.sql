-- What an administrator set of the policies at run time, over the configuration: one row for each event, the default's
-- under the empty name. A draft is JSON, a field for each path that is set.
CREATE TABLE policies (
    event      TEXT    NOT NULL PRIMARY KEY,
    draft      TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    version    INTEGER NOT NULL
) STRICT;

-- The master switch, a single row once it was ever moved: whether any mail goes out.
CREATE TABLE sending (
    id         INTEGER NOT NULL PRIMARY KEY,
    enabled    INTEGER NOT NULL,
    changed_by TEXT    NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;
