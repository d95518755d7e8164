-- The connection test that an account's settings passed last: a keyed hash of those settings, and when.
ALTER TABLE accounts ADD COLUMN tested    BLOB;
ALTER TABLE accounts ADD COLUMN tested_at INTEGER;
