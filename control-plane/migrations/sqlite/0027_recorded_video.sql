-- Recordings of cameras and screens, too. What a track is made of is a part of its name: 0 voice; camera and screen: 1 and 2 in
-- WebM, 3 and 4 in Matroska. Voices stay where they were, for control planes of the release before write there.
ALTER TABLE recordings ADD COLUMN video INTEGER NOT NULL DEFAULT 0;

CREATE TABLE recorded_pictures (
    recording_id INTEGER NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    user_id      INTEGER NOT NULL,
    medium       INTEGER NOT NULL,
    start_ms     INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    -- Of the track, with this piece.
    length_ms    INTEGER NOT NULL,
    lost         INTEGER NOT NULL,
    PRIMARY KEY (recording_id, user_id, medium, start_ms, number)
) STRICT, WITHOUT ROWID;

CREATE VIEW all_pieces AS
SELECT recording_id, user_id, CAST(0 AS INTEGER) AS medium, start_ms, number, bytes, length_ms, lost FROM recorded_pieces
UNION ALL
SELECT recording_id, user_id, medium, start_ms, number, bytes, length_ms, lost FROM recorded_pictures;
