-- What was done, by whom, to what. Rows are added and, past their retention, removed; none is ever changed.
-- Names are kept as they were then. What differs is JSON: an object of fields, without secrets.
CREATE TABLE audit_events (
    id          BLOB    NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL,
    action      TEXT    NOT NULL,
    actor_kind  TEXT    NOT NULL,
    actor_id    TEXT    NOT NULL,
    actor_name  TEXT    NOT NULL,
    peer        TEXT    NOT NULL,
    request_id  TEXT    NOT NULL,
    object_id   TEXT    NOT NULL,
    object_name TEXT    NOT NULL,
    was         TEXT    NOT NULL,
    became      TEXT    NOT NULL
) STRICT;

-- Each begins with what is asked for by equality and ends with the order of the list.
CREATE INDEX audit_moments ON audit_events (at, id);
CREATE INDEX audit_actions ON audit_events (action, at, id);
CREATE INDEX audit_actor_ids ON audit_events (actor_id, at, id);
CREATE INDEX audit_actor_names ON audit_events (actor_name, at, id);
CREATE INDEX audit_object_ids ON audit_events (object_id, at, id);
CREATE INDEX audit_object_names ON audit_events (object_name, at, id);
