-- The form that migrations/sqlite has after 0015; from then on both folders have a file for each number. Ids are snowflakes,
-- moments are Unix milliseconds, flags are 0 or 1, lists that nobody searches in are JSON text. Several control planes write,
-- one after the other: whoever writes holds the lock of `commits` (store/writer.rs).
--
-- While a fleet is upgraded the version before still runs on the new form: a migration adds, and what an older version needs
-- goes a version later.

CREATE TABLE users (
    id           BIGINT   PRIMARY KEY,
    username     TEXT     NOT NULL,
    username_key TEXT     NOT NULL,
    global_name  TEXT,
    avatar       TEXT,
    is_bot       SMALLINT NOT NULL DEFAULT 0,
    flags        BIGINT   NOT NULL DEFAULT 0,
    created_at   BIGINT   NOT NULL,
    banner       TEXT
);
CREATE UNIQUE INDEX users_by_name ON users (username_key) WHERE is_bot = 0;

CREATE TABLE credentials (
    user_id       BIGINT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    email         TEXT UNIQUE,
    password_hash TEXT NOT NULL
);

CREATE TABLE tokens (
    hash       BYTEA  PRIMARY KEY,
    user_id    BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    used_at    BIGINT,
    os         TEXT,
    platform   TEXT
);
CREATE INDEX tokens_by_user ON tokens (user_id);

CREATE TABLE applications (
    id          BIGINT   PRIMARY KEY,
    owner_id    BIGINT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name        TEXT     NOT NULL,
    description TEXT     NOT NULL DEFAULT '',
    verify_key  TEXT     NOT NULL,
    signing_key BYTEA    NOT NULL,
    bot_id      BIGINT   UNIQUE REFERENCES users (id),
    bot_public  SMALLINT NOT NULL DEFAULT 1,
    flags       BIGINT   NOT NULL DEFAULT 0,
    created_at  BIGINT   NOT NULL,
    icon        TEXT
);
CREATE INDEX applications_by_owner ON applications (owner_id);

CREATE TABLE guilds (
    id                            BIGINT   PRIMARY KEY,
    name                          TEXT     NOT NULL,
    owner_id                      BIGINT   NOT NULL REFERENCES users (id),
    icon                          TEXT,
    description                   TEXT,
    afk_channel_id                BIGINT,
    afk_timeout                   BIGINT   NOT NULL DEFAULT 300,
    system_channel_id             BIGINT,
    system_channel_flags          BIGINT   NOT NULL DEFAULT 0,
    rules_channel_id              BIGINT,
    public_updates_channel_id     BIGINT,
    verification_level            SMALLINT NOT NULL DEFAULT 0,
    default_message_notifications SMALLINT NOT NULL DEFAULT 0,
    explicit_content_filter       SMALLINT NOT NULL DEFAULT 0,
    preferred_locale              TEXT     NOT NULL DEFAULT 'en-US',
    premium_progress_bar_enabled  SMALLINT NOT NULL DEFAULT 0,
    created_at                    BIGINT   NOT NULL,
    banner                        TEXT,
    splash                        TEXT
);

CREATE TABLE roles (
    id          BIGINT   PRIMARY KEY,
    guild_id    BIGINT   NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    name        TEXT     NOT NULL,
    permissions BIGINT   NOT NULL,
    position    BIGINT   NOT NULL,
    color       BIGINT   NOT NULL DEFAULT 0,
    hoist       SMALLINT NOT NULL DEFAULT 0,
    mentionable SMALLINT NOT NULL DEFAULT 0,
    bot_id      BIGINT   REFERENCES users (id)
);
CREATE INDEX roles_by_guild ON roles (guild_id);

CREATE TABLE members (
    guild_id       BIGINT   NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    user_id        BIGINT   NOT NULL REFERENCES users (id),
    nick           TEXT,
    joined_at      BIGINT   NOT NULL,
    deaf           SMALLINT NOT NULL DEFAULT 0,
    mute           SMALLINT NOT NULL DEFAULT 0,
    flags          BIGINT   NOT NULL DEFAULT 0,
    disabled_until BIGINT,
    is_temporary   SMALLINT NOT NULL DEFAULT 0,
    PRIMARY KEY (guild_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id);
CREATE INDEX temporary_members ON members (user_id) WHERE is_temporary = 1;

CREATE TABLE member_roles (
    guild_id BIGINT NOT NULL,
    user_id  BIGINT NOT NULL,
    role_id  BIGINT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (guild_id, user_id, role_id),
    FOREIGN KEY (guild_id, user_id) REFERENCES members (guild_id, user_id) ON DELETE CASCADE
);
CREATE INDEX member_roles_by_role ON member_roles (role_id);

CREATE TABLE channels (
    id                  BIGINT   PRIMARY KEY,
    guild_id            BIGINT   NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    kind                SMALLINT NOT NULL,
    name                TEXT     NOT NULL,
    position            BIGINT   NOT NULL,
    parent_id           BIGINT,
    topic               TEXT,
    nsfw                SMALLINT NOT NULL DEFAULT 0,
    rate_limit_per_user BIGINT   NOT NULL DEFAULT 0,
    bitrate             BIGINT,
    user_limit          BIGINT,
    rtc_region          TEXT,
    flags               BIGINT   NOT NULL DEFAULT 0,
    last_pin_at         BIGINT
);
CREATE INDEX channels_by_guild ON channels (guild_id);
CREATE INDEX channels_but_threads ON channels (guild_id) WHERE kind NOT IN (10, 11, 12);

CREATE TABLE overwrites (
    channel_id BIGINT   NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    target_id  BIGINT   NOT NULL,
    kind       SMALLINT NOT NULL,
    allow      BIGINT   NOT NULL,
    deny       BIGINT   NOT NULL,
    PRIMARY KEY (channel_id, target_id)
);

-- Partitioned by time: an id begins with the moment that it was made in. Only the partitions of the time that is asked for are
-- read, those of months gone by are never written again, and vacuuming and indexing stay as small as one month.
--
-- Partitions are made by `make_message_partitions`, which every control plane calls when it starts and once an hour, for this
-- month and the three after it. `messages_rest` takes what no month is there for, so that no message is ever refused. Nothing
-- deletes a partition: messages stay until somebody deletes them. An operator who wants old months on slower disks moves their
-- partitions to another tablespace (ALTER TABLE … SET TABLESPACE).
CREATE TABLE messages (
    channel_id       BIGINT   NOT NULL,
    id               BIGINT   NOT NULL,
    seq              BIGINT   NOT NULL,
    author_id        BIGINT   NOT NULL REFERENCES users (id),
    kind             SMALLINT NOT NULL,
    content          TEXT     NOT NULL,
    flags            BIGINT   NOT NULL,
    is_tts           SMALLINT NOT NULL,
    mention_everyone SMALLINT NOT NULL,
    mentions         TEXT,
    mention_roles    TEXT,
    embeds           TEXT,
    reference        TEXT,
    edited_at        BIGINT,
    attachments      TEXT,
    components       TEXT,
    webhook_id       BIGINT,
    author_name      TEXT,
    author_avatar    TEXT,
    application_id   BIGINT,
    interaction      TEXT,
    snapshots        TEXT,
    pinned_at        BIGINT,
    PRIMARY KEY (channel_id, id)
) PARTITION BY RANGE (id);
CREATE TABLE messages_rest PARTITION OF messages DEFAULT;
CREATE INDEX messages_pinned ON messages (channel_id, pinned_at) WHERE pinned_at IS NOT NULL;

-- How many partitions were made.
CREATE FUNCTION make_message_partitions(months INTEGER) RETURNS INTEGER LANGUAGE plpgsql AS $$
DECLARE
    made INTEGER := 0;
    first TIMESTAMP := date_trunc('month', now() AT TIME ZONE 'UTC');
    since TIMESTAMP;
    name TEXT;
BEGIN
    FOR month IN 0..months LOOP
        since := first + make_interval(months => month);
        name := 'messages_' || to_char(since, 'YYYY_MM');
        IF to_regclass(name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF messages FOR VALUES FROM (%s) TO (%s)', name,
                (extract(epoch FROM since)::BIGINT * 1000 - 1420070400000) << 22,
                (extract(epoch FROM since + INTERVAL '1 month')::BIGINT * 1000 - 1420070400000) << 22);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END
$$;
SELECT make_message_partitions(3);

CREATE TABLE graves (
    channel_id BIGINT PRIMARY KEY
);

CREATE TABLE nonces (
    channel_id BIGINT NOT NULL,
    author_id  BIGINT NOT NULL,
    nonce      TEXT   NOT NULL,
    message_id BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (channel_id, author_id, nonce)
);
CREATE INDEX nonces_by_age ON nonces (created_at);

CREATE TABLE invites (
    code       TEXT     PRIMARY KEY,
    guild_id   BIGINT   NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    channel_id BIGINT   NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    inviter_id BIGINT   REFERENCES users (id),
    created_at BIGINT   NOT NULL,
    max_age    BIGINT   NOT NULL,
    max_uses   BIGINT   NOT NULL,
    uses       BIGINT   NOT NULL DEFAULT 0,
    temporary  SMALLINT NOT NULL DEFAULT 0
);
CREATE INDEX invites_by_guild ON invites (guild_id);
CREATE INDEX invites_by_channel ON invites (channel_id);

CREATE TABLE bans (
    guild_id   BIGINT NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    user_id    BIGINT NOT NULL REFERENCES users (id),
    reason     TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (guild_id, user_id)
);

CREATE TABLE topics (
    kind SMALLINT NOT NULL,
    id   BIGINT   NOT NULL,
    seq  BIGINT   NOT NULL,
    PRIMARY KEY (kind, id)
);

-- `id` is commit order without gaps: the writer gives the numbers under the lock.
CREATE TABLE outbox (
    id         BIGINT   PRIMARY KEY,
    topic_kind SMALLINT NOT NULL,
    topic_id   BIGINT   NOT NULL,
    seq        BIGINT   NOT NULL,
    event      TEXT     NOT NULL,
    created_at BIGINT   NOT NULL
);
CREATE UNIQUE INDEX outbox_by_topic ON outbox (topic_kind, topic_id, seq);

-- One row: what a writer must know of those who wrote before it.
CREATE TABLE commits (
    last_event BIGINT NOT NULL,
    -- No id that was made before is later than this moment, whosever clock it was.
    last_id_ms BIGINT NOT NULL
);
INSERT INTO commits VALUES (0, 0);

CREATE TABLE reactions (
    channel_id  BIGINT   NOT NULL,
    message_id  BIGINT   NOT NULL,
    emoji       TEXT     NOT NULL,
    user_id     BIGINT   NOT NULL REFERENCES users (id),
    place       BIGINT   NOT NULL,
    emoji_name  TEXT,
    is_animated SMALLINT NOT NULL DEFAULT 0,
    PRIMARY KEY (channel_id, message_id, emoji, user_id),
    FOREIGN KEY (channel_id, message_id) REFERENCES messages (channel_id, id) ON DELETE CASCADE
);

CREATE TABLE audit_log (
    id        BIGINT   PRIMARY KEY,
    guild_id  BIGINT   NOT NULL,
    action    SMALLINT NOT NULL,
    user_id   BIGINT,
    target_id BIGINT,
    changes   TEXT,
    options   TEXT,
    reason    TEXT,
    count     BIGINT
);
CREATE INDEX audit_log_by_guild ON audit_log (guild_id, id);
CREATE FUNCTION refuse_rewriting() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;
CREATE TRIGGER audit_log_is_append_only
BEFORE UPDATE OF id, guild_id, action, user_id, target_id, changes, options, reason ON audit_log
FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

CREATE TABLE webhooks (
    id             BIGINT PRIMARY KEY,
    guild_id       BIGINT NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    channel_id     BIGINT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    token          TEXT   NOT NULL,
    creator_id     BIGINT REFERENCES users (id),
    application_id BIGINT,
    name           TEXT   NOT NULL,
    avatar         TEXT,
    created_at     BIGINT NOT NULL
);
CREATE INDEX webhooks_by_guild ON webhooks (guild_id);
CREATE INDEX webhooks_by_channel ON webhooks (channel_id);

CREATE TABLE commands (
    id             BIGINT   PRIMARY KEY,
    application_id BIGINT   NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    guild_id       BIGINT   REFERENCES guilds (id) ON DELETE CASCADE,
    kind           SMALLINT NOT NULL,
    name           TEXT     NOT NULL,
    definition     TEXT     NOT NULL
);
CREATE UNIQUE INDEX commands_by_name ON commands (application_id, coalesce(guild_id, 0), kind, name);
CREATE INDEX commands_by_guild ON commands (guild_id);

CREATE TABLE secrets (
    name  TEXT  PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE attachments (
    id                 BIGINT PRIMARY KEY,
    channel_id         BIGINT NOT NULL,
    guild_id           BIGINT,
    user_id            BIGINT NOT NULL,
    message_channel_id BIGINT,
    message_id         BIGINT,
    content_type       TEXT,
    size               BIGINT NOT NULL DEFAULT 0,
    expires_at         BIGINT,
    FOREIGN KEY (message_channel_id, message_id) REFERENCES messages (channel_id, id) ON DELETE SET NULL
);
CREATE INDEX attachments_by_message ON attachments (message_channel_id, message_id);
CREATE INDEX attachments_without_message ON attachments (expires_at) WHERE message_id IS NULL;

CREATE TABLE storage (
    kind  SMALLINT NOT NULL,
    id    BIGINT   NOT NULL,
    bytes BIGINT   NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE TABLE doomed_files (
    path TEXT   PRIMARY KEY,
    at   BIGINT NOT NULL
);
CREATE INDEX doomed_files_by_time ON doomed_files (at);

CREATE TABLE emojis (
    id       BIGINT   PRIMARY KEY,
    guild_id BIGINT   NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    name     TEXT     NOT NULL,
    roles    TEXT,
    user_id  BIGINT   REFERENCES users (id),
    animated SMALLINT NOT NULL
);
CREATE INDEX emojis_by_guild ON emojis (guild_id);

CREATE TABLE private_channels (
    id          BIGINT   PRIMARY KEY,
    kind        SMALLINT NOT NULL,
    name        TEXT,
    icon        TEXT,
    owner_id    BIGINT   REFERENCES users (id),
    first_id    BIGINT,
    second_id   BIGINT,
    last_pin_at BIGINT
);
CREATE UNIQUE INDEX private_channels_by_pair ON private_channels (first_id, second_id);

CREATE TABLE recipients (
    channel_id BIGINT   NOT NULL REFERENCES private_channels (id) ON DELETE CASCADE,
    user_id    BIGINT   NOT NULL REFERENCES users (id),
    is_open    SMALLINT NOT NULL DEFAULT 1,
    joined_at  BIGINT   NOT NULL,
    PRIMARY KEY (channel_id, user_id)
);
CREATE INDEX recipients_by_user ON recipients (user_id);

CREATE TABLE relationships (
    user_id   BIGINT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    target_id BIGINT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind      SMALLINT NOT NULL,
    nickname  TEXT,
    since     BIGINT   NOT NULL,
    PRIMARY KEY (user_id, target_id)
);
CREATE INDEX relationships_by_target ON relationships (target_id);

CREATE TABLE restricted_guilds (
    user_id  BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    guild_id BIGINT NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, guild_id)
);

CREATE TABLE read_states (
    user_id         BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    channel_id      BIGINT NOT NULL,
    last_message_id BIGINT NOT NULL,
    PRIMARY KEY (user_id, channel_id)
);
CREATE INDEX read_states_by_channel ON read_states (channel_id);

CREATE TABLE mentions (
    channel_id BIGINT NOT NULL,
    message_id BIGINT NOT NULL,
    target_id  BIGINT NOT NULL,
    PRIMARY KEY (channel_id, message_id, target_id),
    FOREIGN KEY (channel_id, message_id) REFERENCES messages (channel_id, id) ON DELETE CASCADE
);
CREATE INDEX mentions_by_target ON mentions (target_id, message_id);

CREATE TABLE profiles (
    user_id      BIGINT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    bio          TEXT   NOT NULL DEFAULT '',
    pronouns     TEXT   NOT NULL DEFAULT '',
    accent_color BIGINT
);

CREATE TABLE notes (
    user_id   BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    target_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    note      TEXT   NOT NULL,
    PRIMARY KEY (user_id, target_id)
);

CREATE TABLE settings (
    user_id  BIGINT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    settings TEXT   NOT NULL
);
CREATE TABLE guild_settings (
    user_id  BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    guild_id BIGINT NOT NULL,
    settings TEXT   NOT NULL,
    PRIMARY KEY (user_id, guild_id)
);
CREATE INDEX guild_settings_by_guild ON guild_settings (guild_id);

CREATE TABLE last_seen (
    user_id BIGINT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    seen_at BIGINT NOT NULL
);

CREATE TABLE threads (
    id                   BIGINT   PRIMARY KEY REFERENCES channels (id) ON DELETE CASCADE,
    guild_id             BIGINT   NOT NULL,
    parent_id            BIGINT   NOT NULL,
    owner_id             BIGINT   NOT NULL REFERENCES users (id),
    created_at           BIGINT   NOT NULL,
    is_archived          SMALLINT NOT NULL DEFAULT 0,
    is_locked            SMALLINT NOT NULL DEFAULT 0,
    is_invitable         SMALLINT NOT NULL DEFAULT 1,
    archived_at          BIGINT   NOT NULL,
    auto_archive_minutes BIGINT   NOT NULL,
    idle_at              BIGINT   NOT NULL,
    message_count        BIGINT   NOT NULL DEFAULT 0,
    total_sent           BIGINT   NOT NULL DEFAULT 0,
    last_message_id      BIGINT
);
CREATE INDEX threads_active ON threads (guild_id) WHERE is_archived = 0;
CREATE INDEX threads_idle ON threads (idle_at) WHERE is_archived = 0;
CREATE INDEX threads_by_parent ON threads (parent_id, is_archived, archived_at);

CREATE TABLE thread_members (
    thread_id BIGINT NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    user_id   BIGINT NOT NULL,
    guild_id  BIGINT NOT NULL,
    joined_at BIGINT NOT NULL,
    flags     BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (thread_id, user_id),
    FOREIGN KEY (guild_id, user_id) REFERENCES members (guild_id, user_id) ON DELETE CASCADE
);
CREATE INDEX thread_members_by_member ON thread_members (guild_id, user_id, thread_id);

CREATE TABLE interactions (
    id             BIGINT   PRIMARY KEY,
    token_hash     BYTEA    NOT NULL UNIQUE,
    application_id BIGINT   NOT NULL,
    user_id        BIGINT   NOT NULL,
    state          SMALLINT NOT NULL DEFAULT 0,
    original_id    BIGINT,
    is_ephemeral   SMALLINT NOT NULL DEFAULT 0,
    context        TEXT     NOT NULL
);

CREATE TABLE ephemeral_messages (
    id         BIGINT PRIMARY KEY,
    user_id    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    message    TEXT   NOT NULL
);
CREATE INDEX ephemeral_messages_by_age ON ephemeral_messages (expires_at);

-- Full-text search. English endings are cut off and no word is left out, as in SQLite's index; accents and case are taken off
-- before a text gets here (store/search/postgres.rs).
CREATE TEXT SEARCH DICTIONARY guildhall_stem (TEMPLATE = snowball, LANGUAGE = english);
CREATE TEXT SEARCH CONFIGURATION guildhall (COPY = english);
ALTER TEXT SEARCH CONFIGURATION guildhall ALTER MAPPING REPLACE english_stem WITH guildhall_stem;

-- "Ärger" is found by "arger", as in SQLite's index.
CREATE FUNCTION without_accents(words TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE AS $$
    SELECT normalize(regexp_replace(normalize(words, NFD), '[\u0300-\u036f]', '', 'g'), NFC)
$$;

-- One row per written message; `document` has its words, and its facets as lexemes that begin with `=`.
CREATE TABLE search (
    id         BIGINT   PRIMARY KEY,
    channel_id BIGINT   NOT NULL,
    document   TSVECTOR NOT NULL
);
CREATE INDEX search_by_document ON search USING gin (document);

-- As in SQLite: one row while messages that are older than the index are not all in it yet.
CREATE TABLE search_backlog (
    channel_id BIGINT NOT NULL,
    message_id BIGINT NOT NULL,
    indexed    BIGINT NOT NULL
);

-- Message rows that this transaction has changed; empty between transactions.
CREATE UNLOGGED TABLE touched (
    channel_id BIGINT   NOT NULL,
    id         BIGINT   NOT NULL,
    is_new     SMALLINT NOT NULL
);
CREATE FUNCTION touch_message() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO touched VALUES (old.channel_id, old.id, 0);
    ELSE
        INSERT INTO touched VALUES (new.channel_id, new.id, CASE WHEN TG_OP = 'INSERT' THEN 1 ELSE 0 END);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER touched AFTER INSERT OR UPDATE OR DELETE ON messages FOR EACH ROW EXECUTE FUNCTION touch_message();
