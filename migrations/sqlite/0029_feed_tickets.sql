-- +goose Up

-- Tickets that wait to open a feed; each is good once, at any process of the node.
-- What it was made with stands here sealed under a key that follows from the ticket,
-- which the database does not have.
CREATE TABLE feed_tickets (
    hash       BLOB NOT NULL PRIMARY KEY, -- SHA-256 of the ticket, under a domain line
    identity   TEXT NOT NULL,             -- LogLine ID of whom it was made for
    sealed     BLOB NOT NULL,             -- credential and tenant
    expires_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX feed_tickets_expires ON feed_tickets (expires_at);
CREATE INDEX feed_tickets_identity ON feed_tickets (identity);

-- +goose Down
DROP TABLE feed_tickets;
