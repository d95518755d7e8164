-- Whoever follows the outbox reads it by this, from where it was last read.
CREATE INDEX outbox_changes ON outbox (changed_at, id)
    WHERE decoy = 0;
