-- Who changed what in a guild. No foreign key to the guild: deleting one must not delete thousands of rows in one transaction;
-- old lines go a few at a time, whoever's they were.
CREATE TABLE audit_log (
    id        INTEGER PRIMARY KEY NOT NULL,
    guild_id  INTEGER NOT NULL,
    action    INTEGER NOT NULL,
    user_id   INTEGER,
    target_id INTEGER,
    -- JSON; NULL instead of an empty one.
    changes   TEXT,
    options   TEXT,
    reason    TEXT,
    -- How many things it was done to; grows while the same deed goes on.
    count     INTEGER
) STRICT;
CREATE INDEX audit_log_by_guild ON audit_log (guild_id, id);

CREATE TRIGGER audit_log_is_append_only
BEFORE UPDATE OF id, guild_id, action, user_id, target_id, changes, options, reason ON audit_log
BEGIN
    SELECT raise(ABORT, 'the audit log is append-only');
END;
