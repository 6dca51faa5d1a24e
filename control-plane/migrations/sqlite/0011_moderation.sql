-- When an account was last heard of, give or take an hour: what makes a member inactive.
CREATE TABLE last_seen (
    user_id INTEGER PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    seen_at INTEGER NOT NULL
) STRICT;

-- Joined by a temporary invite and never given a role: a member only as long as they are online.
ALTER TABLE members ADD COLUMN is_temporary INTEGER NOT NULL DEFAULT 0;
CREATE INDEX temporary_members ON members (user_id) WHERE is_temporary = 1;
