-- Random keys that outlive a restart, by what they are for.
CREATE TABLE secrets (
    name  TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT;

-- One row per attachment, from before its file is written until after the file is deleted: a file without a row is never
-- there for long, and a message never shows a file that is not.
CREATE TABLE attachments (
    id                 INTEGER PRIMARY KEY NOT NULL,
    channel_id         INTEGER NOT NULL,
    guild_id           INTEGER,
    user_id            INTEGER NOT NULL,
    -- The message that shows it; NULL before it is sent and after it is deleted.
    message_channel_id INTEGER,
    message_id         INTEGER,
    -- NULL while it is being written.
    content_type       TEXT,
    size               INTEGER NOT NULL DEFAULT 0,
    -- Without a message: until when it waits for one. NULL: it had one, and may be deleted at once.
    expires_at         INTEGER,
    FOREIGN KEY (message_channel_id, message_id) REFERENCES messages (channel_id, id) ON DELETE SET NULL
) STRICT;
CREATE INDEX attachments_by_message ON attachments (message_channel_id, message_id);
CREATE INDEX attachments_without_message ON attachments (expires_at) WHERE message_id IS NULL;

-- How much the attachments of a user (kind 0) or in a guild (kind 1) take together, in bytes.
CREATE TABLE storage (
    kind  INTEGER NOT NULL,
    id    INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- Other files that are to be deleted: those that nobody shows any more, and those that nobody shows yet, in case that the
-- change that would show them fails.
CREATE TABLE doomed_files (
    path TEXT    PRIMARY KEY NOT NULL,
    at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX doomed_files_by_time ON doomed_files (at);

ALTER TABLE users ADD COLUMN banner TEXT;
ALTER TABLE guilds ADD COLUMN banner TEXT;
ALTER TABLE guilds ADD COLUMN splash TEXT;
ALTER TABLE applications ADD COLUMN icon TEXT;

CREATE TABLE emojis (
    id         INTEGER PRIMARY KEY NOT NULL,
    guild_id   INTEGER NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    -- JSON array of the roles that may use it; NULL: everyone.
    roles      TEXT,
    user_id    INTEGER REFERENCES users (id),
    animated   INTEGER NOT NULL
) STRICT;
CREATE INDEX emojis_by_guild ON emojis (guild_id);

-- An emoji of a guild is known by its id, as digits in `emoji`; this is what it was called when somebody first used it.
ALTER TABLE reactions ADD COLUMN emoji_name TEXT;
ALTER TABLE reactions ADD COLUMN is_animated INTEGER NOT NULL DEFAULT 0;
