-- A Unicode emoji is known by its characters without the variation selector U+FE0F, which some clients send and some do not;
-- it is shown as it was sent first.
UPDATE OR IGNORE reactions SET emoji_name = emoji, emoji = replace(emoji, char(65039), '') WHERE instr(emoji, char(65039)) > 0;
DELETE FROM reactions WHERE instr(emoji, char(65039)) > 0;
