-- A thread is a channel (its id, kind, name, parent and slowmode are there) with what only threads have.
CREATE TABLE threads (
    id                   INTEGER PRIMARY KEY NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    guild_id             INTEGER NOT NULL,
    parent_id            INTEGER NOT NULL,
    owner_id             INTEGER NOT NULL REFERENCES users (id),
    created_at           INTEGER NOT NULL,
    is_archived          INTEGER NOT NULL DEFAULT 0,
    is_locked            INTEGER NOT NULL DEFAULT 0,
    is_invitable         INTEGER NOT NULL DEFAULT 1,
    -- When it was last archived or woken.
    archived_at          INTEGER NOT NULL,
    auto_archive_minutes INTEGER NOT NULL,
    -- When it is archived unless someone writes before.
    idle_at              INTEGER NOT NULL,
    message_count        INTEGER NOT NULL DEFAULT 0,
    total_sent           INTEGER NOT NULL DEFAULT 0,
    last_message_id      INTEGER
) STRICT;
CREATE INDEX threads_active ON threads (guild_id) WHERE is_archived = 0;
CREATE INDEX threads_idle ON threads (idle_at) WHERE is_archived = 0;
CREATE INDEX threads_by_parent ON threads (parent_id, is_archived, archived_at);

-- Whoever leaves the guild leaves its threads.
CREATE TABLE thread_members (
    thread_id INTEGER NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    user_id   INTEGER NOT NULL,
    guild_id  INTEGER NOT NULL,
    joined_at INTEGER NOT NULL,
    flags     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (thread_id, user_id),
    FOREIGN KEY (guild_id, user_id) REFERENCES members (guild_id, user_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX thread_members_by_member ON thread_members (guild_id, user_id, thread_id);

-- Loading a guild reads its channels, but not its archived threads, of which there may be very many.
CREATE INDEX channels_but_threads ON channels (guild_id) WHERE kind NOT IN (10, 11, 12);
