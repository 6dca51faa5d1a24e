-- Recordings of voice channels; see the SQLite migration of this number.
CREATE TABLE recordings (
    id         BIGINT PRIMARY KEY,
    guild_id   BIGINT NOT NULL,
    channel_id BIGINT NOT NULL,
    user_id    BIGINT NOT NULL,
    state      BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at   BIGINT,
    heard_at   BIGINT NOT NULL,
    bytes      BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX recordings_by_channel ON recordings (channel_id);
CREATE INDEX recordings_by_state ON recordings (state, ended_at);

CREATE TABLE recorded_pieces (
    recording_id BIGINT NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    user_id      BIGINT NOT NULL,
    start_ms     BIGINT NOT NULL,
    number       BIGINT NOT NULL,
    bytes        BIGINT NOT NULL,
    length_ms    BIGINT NOT NULL,
    lost         BIGINT NOT NULL,
    PRIMARY KEY (recording_id, user_id, start_ms, number)
);

ALTER TABLE channels ADD COLUMN recording TEXT;
