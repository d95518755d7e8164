-- How many mails may go through an account; 0: as many as its provider lets it send.
ALTER TABLE accounts ADD COLUMN per_minute INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN per_day    INTEGER NOT NULL DEFAULT 0;
