-- Versions before this one may work beside it.
-- By whose wrong codes its caller is answered, where that is not the user: the keyed hash of the caller and of the name it gave.
ALTER TABLE challenges ADD COLUMN name_hash BLOB;
