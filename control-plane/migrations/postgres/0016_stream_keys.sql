-- Keys by which programs publish to a voice channel or watch it; see the SQLite migration of this number.
CREATE TABLE stream_keys (
    id         BIGINT PRIMARY KEY,
    user_id    BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    channel_id BIGINT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    name       TEXT   NOT NULL,
    hash       BYTEA  NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX stream_keys_by_hash ON stream_keys (hash);
CREATE INDEX stream_keys_by_user ON stream_keys (user_id);
CREATE INDEX stream_keys_by_channel ON stream_keys (channel_id);
