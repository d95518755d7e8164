-- Versions before this one may work beside it.
-- Wrong codes since the last lock began: what the next one is judged by, whichever event's policy judges. Of budgets from
-- before it is not known; who was never locked may have gone round the lock, so that the next wrong code is judged by all of them.
ALTER TABLE guess_budgets ADD COLUMN since_lock INTEGER NOT NULL DEFAULT 0;

UPDATE guess_budgets SET since_lock = failures WHERE locked_until IS NULL;
