-- Versions before this one may work beside it.
-- Whether versions that do not know a step may work beside it: whether its script begins with the line above. They must find
-- all that they use, and what they write without knowing of it must be whole.
ALTER TABLE schema_versions ADD COLUMN beside INTEGER NOT NULL DEFAULT 0;
