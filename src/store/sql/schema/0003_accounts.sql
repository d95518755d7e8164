-- What an account says of its sender and its connection beyond the beginnings. `timeout` is in microseconds.
ALTER TABLE accounts ADD COLUMN preset           TEXT    NOT NULL DEFAULT 'other';
ALTER TABLE accounts ADD COLUMN try_order        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN return_path      TEXT;
ALTER TABLE accounts ADD COLUMN read_receipt     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN confirmation     TEXT;
ALTER TABLE accounts ADD COLUMN force_settings   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN footnote_enabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN footnote         TEXT    NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN hello_name       TEXT;
ALTER TABLE accounts ADD COLUMN server_name      TEXT;
ALTER TABLE accounts ADD COLUMN authorities      TEXT;
ALTER TABLE accounts ADD COLUMN any_certificate  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN timeout          INTEGER;
