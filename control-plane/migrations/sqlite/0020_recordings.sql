-- Recordings of voice channels. Their sound is in the object store, in the pieces that it came in.
CREATE TABLE recordings (
    id         INTEGER PRIMARY KEY NOT NULL,
    guild_id   INTEGER NOT NULL,
    -- Not a reference: what is left of a channel's recordings is deleted after the channel, files first.
    channel_id INTEGER NOT NULL,
    -- Who began it.
    user_id    INTEGER NOT NULL,
    -- 0 recording, 1 ending, 2 done, 3 interrupted, 4 deleted: its files go next.
    state      INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    -- When its node last said that it records.
    heard_at   INTEGER NOT NULL,
    bytes      INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX recordings_by_channel ON recordings (channel_id);
CREATE INDEX recordings_by_state ON recordings (state, ended_at);

-- A track is what one user said from one moment on.
CREATE TABLE recorded_pieces (
    recording_id INTEGER NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    user_id      INTEGER NOT NULL,
    start_ms     INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    -- Of the track, with this piece.
    length_ms    INTEGER NOT NULL,
    lost         INTEGER NOT NULL,
    PRIMARY KEY (recording_id, user_id, start_ms, number)
) STRICT, WITHOUT ROWID;

-- What the channel's object says of the recording that runs, as JSON.
ALTER TABLE channels ADD COLUMN recording TEXT;
