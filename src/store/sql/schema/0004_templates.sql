-- Templates in place of the built-in ones. An empty event or language stands for every one.
CREATE TABLE templates (
    purpose    INTEGER NOT NULL,
    event      TEXT    NOT NULL,
    language   TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    body_text  TEXT    NOT NULL,
    body_html  TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    PRIMARY KEY (purpose, event, language)
) STRICT;
