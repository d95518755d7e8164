-- The certificate that an account shows to its mail server, in PEM, and its private key: what kind, and the sealed bytes, the path, or
-- the variable's name. All of them or none.
ALTER TABLE accounts ADD COLUMN client_certificate TEXT;
ALTER TABLE accounts ADD COLUMN client_key_kind    TEXT;
ALTER TABLE accounts ADD COLUMN client_key         BLOB;
