-- What an API key may do, beside the types that it may have signed; and which key
-- took the place of which. Keys from before go on as they were: they read, and
-- have events signed.

-- +goose Up

ALTER TABLE api_keys ADD COLUMN rights TEXT NOT NULL DEFAULT '["append","read"]'; -- JSON, sorted
ALTER TABLE api_keys ADD COLUMN replaces TEXT;    -- id of the key that this one was made for; null: none
ALTER TABLE api_keys ADD COLUMN replaced_by TEXT; -- id of the key that took its place; null: none
ALTER TABLE api_keys ADD COLUMN revoked_by TEXT;  -- LogLine ID; null: not revoked, or before this was kept

-- +goose Down

ALTER TABLE api_keys DROP COLUMN revoked_by;
ALTER TABLE api_keys DROP COLUMN replaced_by;
ALTER TABLE api_keys DROP COLUMN replaces;
ALTER TABLE api_keys DROP COLUMN rights;
