-- Addresses beside the one on file that users proved to read: keyed hashes alone.
CREATE TABLE confirmations (
    user_hash    BLOB    NOT NULL,
    address_hash BLOB    NOT NULL,
    confirmed_at INTEGER NOT NULL,
    PRIMARY KEY (user_hash, address_hash)
) STRICT;

CREATE INDEX confirmations_age ON confirmations (confirmed_at);

-- What a right code confirms: the keyed hash of that address, byte for byte.
ALTER TABLE challenges ADD COLUMN confirms BLOB;
