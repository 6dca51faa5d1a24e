-- Channels outside of guilds: 1 between two accounts, 3 a group. Their messages are in `messages` like all others.
CREATE TABLE private_channels (
    id       INTEGER PRIMARY KEY NOT NULL,
    kind     INTEGER NOT NULL,
    name     TEXT,
    icon     TEXT,
    owner_id INTEGER REFERENCES users (id),
    -- The two of a DM in the order of their ids: there is one DM for each pair.
    first_id  INTEGER,
    second_id INTEGER,
    -- When the newest of its pins was pinned.
    last_pin_at INTEGER
) STRICT;
CREATE UNIQUE INDEX private_channels_by_pair ON private_channels (first_id, second_id);

CREATE TABLE recipients (
    channel_id INTEGER NOT NULL REFERENCES private_channels (id) ON DELETE CASCADE,
    user_id    INTEGER NOT NULL REFERENCES users (id),
    -- Whether it is in the user's list. The next message opens a closed one again.
    is_open    INTEGER NOT NULL DEFAULT 1,
    joined_at  INTEGER NOT NULL,
    PRIMARY KEY (channel_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX recipients_by_user ON recipients (user_id);

-- How one account stands to another: 1 friend, 2 blocked, 3 incoming, 4 outgoing request. Each side has a row of its own.
CREATE TABLE relationships (
    user_id   INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    target_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind      INTEGER NOT NULL,
    nickname  TEXT,
    since     INTEGER NOT NULL,
    PRIMARY KEY (user_id, target_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX relationships_by_target ON relationships (target_id);

-- Guilds whose members may not open a conversation with the user for that alone.
CREATE TABLE restricted_guilds (
    user_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    guild_id INTEGER NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, guild_id)
) STRICT, WITHOUT ROWID;

-- What someone has read in a channel; rows go with the membership, the channel's with its messages.
CREATE TABLE read_states (
    user_id         INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    channel_id      INTEGER NOT NULL,
    last_message_id INTEGER NOT NULL,
    PRIMARY KEY (user_id, channel_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX read_states_by_channel ON read_states (channel_id);

-- Whom a message in a guild mentions: a user, a role, or (by the guild's id) everyone. One row per mention, not per member;
-- who asks what it missed joins them with its own roles.
CREATE TABLE mentions (
    channel_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    target_id  INTEGER NOT NULL,
    PRIMARY KEY (channel_id, message_id, target_id),
    FOREIGN KEY (channel_id, message_id) REFERENCES messages (channel_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX mentions_by_target ON mentions (target_id, message_id);

-- What someone says about themselves.
CREATE TABLE profiles (
    user_id      INTEGER PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    bio          TEXT    NOT NULL DEFAULT '',
    pronouns     TEXT    NOT NULL DEFAULT '',
    accent_color INTEGER
) STRICT;

CREATE TABLE notes (
    user_id   INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    target_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    note      TEXT    NOT NULL,
    PRIMARY KEY (user_id, target_id)
) STRICT, WITHOUT ROWID;

-- JSON objects: what differs from the defaults.
CREATE TABLE settings (
    user_id  INTEGER PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    settings TEXT    NOT NULL
) STRICT;
-- Guild 0: private channels.
CREATE TABLE guild_settings (
    user_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    guild_id INTEGER NOT NULL,
    settings TEXT    NOT NULL,
    PRIMARY KEY (user_id, guild_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX guild_settings_by_guild ON guild_settings (guild_id);

-- A log-in: where it came from, and when it was last used (to the hour).
ALTER TABLE tokens ADD COLUMN used_at INTEGER;
ALTER TABLE tokens ADD COLUMN os TEXT;
ALTER TABLE tokens ADD COLUMN platform TEXT;
