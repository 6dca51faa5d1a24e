CREATE TABLE commands (
    id             INTEGER PRIMARY KEY NOT NULL,
    application_id INTEGER NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    -- NULL: in every guild that the application's bot is in.
    guild_id       INTEGER REFERENCES guilds (id) ON DELETE CASCADE,
    kind           INTEGER NOT NULL,
    name           TEXT    NOT NULL,
    -- The whole command as JSON.
    definition     TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX commands_by_name ON commands (application_id, coalesce(guild_id, 0), kind, name);
CREATE INDEX commands_by_guild ON commands (guild_id);
