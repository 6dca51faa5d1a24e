-- Probe calls at voice nodes: when each is due (Unix milliseconds; whoever moves it on makes the call), and what came of those before.
CREATE TABLE probes (
    node   TEXT    PRIMARY KEY,
    due    INTEGER NOT NULL,
    report TEXT    NOT NULL
) STRICT;
