-- Addresses that messages can be posted to without an account. The sender of what comes through one has a row in `users` under
-- the webhook's id, which stays when the webhook goes.
CREATE TABLE webhooks (
    id             INTEGER PRIMARY KEY NOT NULL,
    guild_id       INTEGER NOT NULL REFERENCES guilds (id) ON DELETE CASCADE,
    channel_id     INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    -- Readable, unlike an account's token: whoever manages webhooks is shown it again and again. It opens one channel for
    -- writing, and that only.
    token          TEXT    NOT NULL,
    creator_id     INTEGER REFERENCES users (id),
    -- The application whose bot made it.
    application_id INTEGER,
    name           TEXT    NOT NULL,
    avatar         TEXT,
    created_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX webhooks_by_guild ON webhooks (guild_id);
CREATE INDEX webhooks_by_channel ON webhooks (channel_id);
