-- +goose Up

-- Tickets that wait to open a feed; each is good once, at any process of the node.
-- What it was made with stands here sealed under a key that follows from the ticket,
-- which the database does not have.
CREATE TABLE feed_tickets (
    hash       BYTEA NOT NULL PRIMARY KEY,    -- SHA-256 of the ticket, under a domain line
    identity   text COLLATE "C" NOT NULL,     -- LogLine ID of whom it was made for
    sealed     BYTEA NOT NULL,                -- credential and tenant
    expires_at text COLLATE "C" NOT NULL
);
CREATE INDEX feed_tickets_expires ON feed_tickets (expires_at);
CREATE INDEX feed_tickets_identity ON feed_tickets (identity);

-- +goose Down
DROP TABLE feed_tickets;
