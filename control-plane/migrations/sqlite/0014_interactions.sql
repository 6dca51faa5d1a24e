-- Rows live for a quarter of an hour: as long as an interaction's token.
CREATE TABLE interactions (
    id             INTEGER PRIMARY KEY NOT NULL,
    -- SHA-256 of the token.
    token_hash     BLOB    NOT NULL UNIQUE,
    application_id INTEGER NOT NULL,
    user_id        INTEGER NOT NULL,
    -- 0 waits for its first answer, 1 was answered, 2 was not.
    state          INTEGER NOT NULL DEFAULT 0,
    -- What `@original` is, and whether it is one of the messages below.
    original_id    INTEGER,
    is_ephemeral   INTEGER NOT NULL DEFAULT 0,
    -- JSON: what its answers need to know.
    context        TEXT    NOT NULL
) STRICT;

-- Messages that one user sees and no channel holds.
CREATE TABLE ephemeral_messages (
    id         INTEGER PRIMARY KEY NOT NULL,
    user_id    INTEGER NOT NULL,
    -- Unix milliseconds.
    expires_at INTEGER NOT NULL,
    -- The message as JSON.
    message    TEXT    NOT NULL
) STRICT;
CREATE INDEX ephemeral_messages_by_age ON ephemeral_messages (expires_at);
