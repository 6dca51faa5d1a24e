-- Recordings of cameras and screens, too; see the SQLite migration of this number.
ALTER TABLE recordings ADD COLUMN video BIGINT NOT NULL DEFAULT 0;

CREATE TABLE recorded_pictures (
    recording_id BIGINT NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    user_id      BIGINT NOT NULL,
    medium       BIGINT NOT NULL,
    start_ms     BIGINT NOT NULL,
    number       BIGINT NOT NULL,
    bytes        BIGINT NOT NULL,
    length_ms    BIGINT NOT NULL,
    lost         BIGINT NOT NULL,
    PRIMARY KEY (recording_id, user_id, medium, start_ms, number)
);

CREATE VIEW all_pieces AS
SELECT recording_id, user_id, CAST(0 AS BIGINT) AS medium, start_ms, number, bytes, length_ms, lost FROM recorded_pieces
UNION ALL
SELECT recording_id, user_id, medium, start_ms, number, bytes, length_ms, lost FROM recorded_pictures;
