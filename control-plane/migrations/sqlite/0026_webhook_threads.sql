-- The webhook that started the thread: it is shown as its owner. `owner_id` then names whose guild it is.
ALTER TABLE threads ADD COLUMN webhook_id INTEGER;
