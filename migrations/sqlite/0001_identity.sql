-- +goose Up

-- Identities that this node knows. chain is the fold of the events, kept
-- because a claim's counter-signature is judged by the claimer's key when the
-- claim was taken, which the events alone no longer tell.
CREATE TABLE identities (
    id      TEXT PRIMARY KEY,           -- LogLine ID
    subject TEXT NOT NULL,
    handle  TEXT UNIQUE,                -- null: none
    name    TEXT NOT NULL DEFAULT '',   -- may change, may be erased
    status  TEXT NOT NULL,              -- active, revoked, claimed
    chain   BLOB NOT NULL,
    size    INTEGER NOT NULL            -- number of events, for compare-and-set
) STRICT;

-- Their key events, sealed, as JCS, in the order in which they were taken.
CREATE TABLE identity_events (
    identity TEXT NOT NULL REFERENCES identities (id),
    position INTEGER NOT NULL,          -- from 0, dense
    event    BLOB NOT NULL,
    hash     BLOB NOT NULL,             -- SHA-256 of event
    taken_at TEXT NOT NULL,
    PRIMARY KEY (identity, position),
    UNIQUE (identity, hash)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE identity_events;
DROP TABLE identities;
