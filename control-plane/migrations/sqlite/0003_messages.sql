-- What a message may carry besides text. JSON, and NULL in most rows.
ALTER TABLE messages ADD COLUMN attachments TEXT;
ALTER TABLE messages ADD COLUMN components TEXT;
-- Who sent it if no account did. A webhook has a row in `users` under its own id, which nobody can log in to; the name and
-- the picture are those of this one message.
ALTER TABLE messages ADD COLUMN webhook_id INTEGER;
ALTER TABLE messages ADD COLUMN author_name TEXT;
ALTER TABLE messages ADD COLUMN author_avatar TEXT;
-- The application whose interaction it answers, and JSON of which interaction that was.
ALTER TABLE messages ADD COLUMN application_id INTEGER;
ALTER TABLE messages ADD COLUMN interaction TEXT;
-- JSON array of what a forward shows.
ALTER TABLE messages ADD COLUMN snapshots TEXT;
-- Set while it is pinned.
ALTER TABLE messages ADD COLUMN pinned_at INTEGER;
