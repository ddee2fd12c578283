-- Row-level security on PostgreSQL; SQLite has none.

-- +goose Up
SELECT 1;

-- +goose Down
SELECT 1;
