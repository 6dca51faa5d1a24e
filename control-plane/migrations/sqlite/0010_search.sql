-- What can be searched for: a row per written message, its id the message's. The index is contentless: a text is stored once,
-- in `messages`. `facets` holds what filters ask for as one token each (see store/search/terms.rs), so that a search with any
-- number of filters is one query of the index.
CREATE VIRTUAL TABLE search USING fts5 (
    words,
    facets,
    channel_id UNINDEXED,
    content = '',
    contentless_delete = 1,
    contentless_unindexed = 1,
    -- English endings are cut off, so "test" finds "tested"; words of other languages are found as they are written.
    tokenize = "porter unicode61 remove_diacritics 2"
);

-- One row while messages that are older than the index are not all in it yet: how far that has come.
CREATE TABLE search_backlog (
    channel_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    indexed    INTEGER NOT NULL
) STRICT;
INSERT INTO search_backlog (channel_id, message_id, indexed) SELECT 0, 0, 0 WHERE EXISTS (SELECT 1 FROM messages);
