-- What the outbox report asks for, and indexes that make a page cost the same wherever in the list it lies: each begins
-- with what is asked for by equality and ends with the order of the list.

ALTER TABLE outbox ADD COLUMN recipient_hash BLOB;
ALTER TABLE outbox ADD COLUMN sender TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0;

UPDATE outbox SET
    changed_at = COALESCE(sent_at, submitted_at),
    recipient_hash = (SELECT address_hash FROM challenges WHERE challenges.id = outbox.challenge);

DROP INDEX outbox_report;
-- Decoys are in this one: they are purged by it.
CREATE INDEX outbox_report ON outbox (submitted_at, id, decoy);
CREATE INDEX outbox_states ON outbox (state, submitted_at, id)
    WHERE decoy = 0;
CREATE INDEX outbox_accounts ON outbox (account, state, submitted_at, id)
    WHERE decoy = 0 AND account <> '';
CREATE INDEX outbox_recipients ON outbox (recipient_hash, submitted_at, id)
    WHERE decoy = 0 AND recipient_hash IS NOT NULL;
-- Kind 2 is the test message: there are few of them among the many.
CREATE INDEX outbox_tests ON outbox (submitted_at, id)
    WHERE decoy = 0 AND kind = 2;
