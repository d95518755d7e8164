-- Versions before this one may work beside it.
-- Whose turn a mail waits for: 0 where no caller asked for it, below 0 a caller that goes first, above 0 another one.
ALTER TABLE outbox ADD COLUMN queue INTEGER NOT NULL DEFAULT 0;
