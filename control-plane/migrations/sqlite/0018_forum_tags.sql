-- What a forum has beside other channels: its tags and how its posts are shown, as JSON; NULL for everything as it comes.
ALTER TABLE channels ADD COLUMN forum TEXT;
-- The ids of the tags that a post bears, as a JSON list.
ALTER TABLE threads ADD COLUMN applied_tags TEXT NOT NULL DEFAULT '[]';
