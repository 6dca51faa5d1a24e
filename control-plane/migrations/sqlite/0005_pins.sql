-- The pinned messages of a channel are few; this holds nothing else.
CREATE INDEX messages_pinned ON messages (channel_id, pinned_at) WHERE pinned_at IS NOT NULL;
-- When the newest of the channel's pins was pinned. Deleting a pinned message leaves it alone, as it tells nobody.
ALTER TABLE channels ADD COLUMN last_pin_at INTEGER;
