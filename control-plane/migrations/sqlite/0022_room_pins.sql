-- Rooms that operators keep on a node.
CREATE TABLE room_pins (
    room INTEGER PRIMARY KEY,
    node TEXT    NOT NULL
) STRICT;
