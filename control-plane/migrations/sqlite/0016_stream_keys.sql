-- Keys by which programs publish to a voice channel or watch it, each for one account there. Of the key itself only SHA-256 is
-- kept.
CREATE TABLE stream_keys (
    id         INTEGER PRIMARY KEY NOT NULL,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    channel_id INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX stream_keys_by_hash ON stream_keys (hash);
CREATE INDEX stream_keys_by_user ON stream_keys (user_id);
CREATE INDEX stream_keys_by_channel ON stream_keys (channel_id);
