-- Rooms that operators keep on a node.
CREATE TABLE room_pins (
    room BIGINT PRIMARY KEY,
    node TEXT   NOT NULL
);
