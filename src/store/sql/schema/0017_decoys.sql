-- Versions before this one may work beside it.
-- Decoys are forgotten soon after they expired: these find them among the many.
CREATE INDEX challenges_decoys ON challenges (expires_at) WHERE decoy = 1 AND request_id IS NULL;
CREATE INDEX outbox_decoys ON outbox (expires_at) WHERE decoy = 1;
