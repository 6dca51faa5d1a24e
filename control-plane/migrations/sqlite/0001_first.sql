-- Ids are snowflakes, moments are Unix milliseconds, lists that nobody searches in are JSON text.

CREATE TABLE users (
    id           INTEGER PRIMARY KEY NOT NULL,
    username     TEXT    NOT NULL,
    -- Lower case; people's names are unique by it, bots' names are not.
    username_key TEXT    NOT NULL,
    global_name  TEXT,
    avatar       TEXT,
    is_bot       INTEGER NOT NULL DEFAULT 0,
    flags        INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX users_by_name ON users (username_key) WHERE is_bot = 0;

CREATE TABLE credentials (
    user_id       INTEGER PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    email         TEXT UNIQUE,
    password_hash TEXT NOT NULL
) STRICT;

-- Only the SHA-256 of a token is stored, so a stolen database opens no session.
CREATE TABLE tokens (
    hash       BLOB    PRIMARY KEY NOT NULL,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_user ON tokens (user_id);

CREATE TABLE applications (
    id          INTEGER PRIMARY KEY NOT NULL,
    owner_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL DEFAULT '',
    verify_key  TEXT    NOT NULL,
    -- PKCS #8 Ed25519: the other half of verify_key.
    signing_key BLOB    NOT NULL,
    bot_id      INTEGER UNIQUE REFERENCES users (id),
    bot_public  INTEGER NOT NULL DEFAULT 1,
    flags       INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX applications_by_owner ON applications (owner_id);

CREATE TABLE guilds (
    id                            INTEGER PRIMARY KEY NOT NULL,
    name                          TEXT    NOT NULL,
    owner_id                      INTEGER NOT NULL REFERENCES users (id),
    icon                          TEXT,
    description                   TEXT,
    afk_channel_id                INTEGER,
    afk_timeout                   INTEGER NOT NULL DEFAULT 300,
    system_channel_id             INTEGER,
    system_channel_flags          INTEGER NOT NULL DEFAULT 0,
    rules_channel_id              INTEGER,
    public_updates_channel_id     INTEGER,
    verification_level            INTEGER NOT NULL DEFAULT 0,
    default_message_notifications INTEGER NOT NULL DEFAULT 0,
    explicit_content_filter       INTEGER NOT NULL DEFAULT 0,
    preferred_locale              TEXT    NOT NULL DEFAULT 'en-US',
    premium_progress_bar_enabled  INTEGER NOT NULL DEFAULT 0,
    created_at                    INTEGER NOT NULL
) STRICT;

CREATE TABLE roles (
    id          INTEGER PRIMARY KEY NOT NULL,
    guild_id    INTEGER NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    name        TEXT    NOT NULL,
    permissions INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    color       INTEGER NOT NULL DEFAULT 0,
    hoist       INTEGER NOT NULL DEFAULT 0,
    mentionable INTEGER NOT NULL DEFAULT 0,
    -- The bot that this role was made for: such a role is managed.
    bot_id      INTEGER REFERENCES users (id)
) STRICT;
CREATE INDEX roles_by_guild ON roles (guild_id);

CREATE TABLE members (
    guild_id       INTEGER NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    user_id        INTEGER NOT NULL REFERENCES users (id),
    nick           TEXT,
    joined_at      INTEGER NOT NULL,
    deaf           INTEGER NOT NULL DEFAULT 0,
    mute           INTEGER NOT NULL DEFAULT 0,
    flags          INTEGER NOT NULL DEFAULT 0,
    disabled_until INTEGER,
    PRIMARY KEY (guild_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_by_user ON members (user_id);

CREATE TABLE member_roles (
    guild_id INTEGER NOT NULL,
    user_id  INTEGER NOT NULL,
    role_id  INTEGER NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (guild_id, user_id, role_id),
    FOREIGN KEY (guild_id, user_id) REFERENCES members (guild_id, user_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX member_roles_by_role ON member_roles (role_id);

CREATE TABLE channels (
    id                  INTEGER PRIMARY KEY NOT NULL,
    guild_id            INTEGER NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    kind                INTEGER NOT NULL,
    name                TEXT    NOT NULL,
    position            INTEGER NOT NULL,
    parent_id           INTEGER,
    topic               TEXT,
    nsfw                INTEGER NOT NULL DEFAULT 0,
    rate_limit_per_user INTEGER NOT NULL DEFAULT 0,
    bitrate             INTEGER,
    user_limit          INTEGER,
    rtc_region          TEXT,
    flags               INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX channels_by_guild ON channels (guild_id);

CREATE TABLE overwrites (
    channel_id INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    target_id  INTEGER NOT NULL,
    -- 0 role, 1 member
    kind       INTEGER NOT NULL,
    allow      INTEGER NOT NULL,
    deny       INTEGER NOT NULL,
    PRIMARY KEY (channel_id, target_id)
) STRICT, WITHOUT ROWID;

-- No foreign key to the channel: deleting one must not delete a million rows in one transaction (see `graves`).
CREATE TABLE messages (
    channel_id       INTEGER NOT NULL,
    id               INTEGER NOT NULL,
    -- The channel topic's sequence number of its creation.
    seq              INTEGER NOT NULL,
    author_id        INTEGER NOT NULL REFERENCES users (id),
    kind             INTEGER NOT NULL,
    content          TEXT    NOT NULL,
    flags            INTEGER NOT NULL,
    is_tts           INTEGER NOT NULL,
    mention_everyone INTEGER NOT NULL,
    -- JSON arrays; NULL instead of an empty one, which most messages have.
    mentions         TEXT,
    mention_roles    TEXT,
    embeds           TEXT,
    -- JSON message_reference
    reference        TEXT,
    edited_at        INTEGER,
    PRIMARY KEY (channel_id, id)
) STRICT, WITHOUT ROWID;

-- Deleted channels whose messages have yet to be deleted, a few at a time.
CREATE TABLE graves (
    channel_id INTEGER PRIMARY KEY NOT NULL
) STRICT;

-- What a retry with enforce_nonce finds. Rows live for a few minutes.
CREATE TABLE nonces (
    channel_id INTEGER NOT NULL,
    author_id  INTEGER NOT NULL,
    nonce      TEXT    NOT NULL,
    message_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (channel_id, author_id, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_by_age ON nonces (created_at);

CREATE TABLE invites (
    code       TEXT    PRIMARY KEY NOT NULL,
    guild_id   INTEGER NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    channel_id INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    inviter_id INTEGER REFERENCES users (id),
    created_at INTEGER NOT NULL,
    -- Seconds, 0: for ever.
    max_age    INTEGER NOT NULL,
    -- 0: no limit.
    max_uses   INTEGER NOT NULL,
    uses       INTEGER NOT NULL DEFAULT 0,
    temporary  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX invites_by_guild ON invites (guild_id);
CREATE INDEX invites_by_channel ON invites (channel_id);

CREATE TABLE bans (
    guild_id   INTEGER NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    user_id    INTEGER NOT NULL REFERENCES users (id),
    reason     TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (guild_id, user_id)
) STRICT, WITHOUT ROWID;

-- The last sequence number of each topic, which outlives the topic's pruned events.
CREATE TABLE topics (
    kind INTEGER NOT NULL,
    id   INTEGER NOT NULL,
    seq  INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- Committed events of the last hour, for subscribers that missed one. `id` is commit order, hence also age.
CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY NOT NULL,
    topic_kind INTEGER NOT NULL,
    topic_id   INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    event      TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX outbox_by_topic ON outbox (topic_kind, topic_id, seq);
