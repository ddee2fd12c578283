-- +goose Up

-- Identities that this node knows. chain is the fold of the events, kept
-- because a claim's counter-signature is judged by the claimer's key when the
-- claim was taken, which the events alone no longer tell.
CREATE TABLE identities (
    id      text COLLATE "C" PRIMARY KEY,       -- LogLine ID
    subject text COLLATE "C" NOT NULL,
    handle  text COLLATE "C" UNIQUE,            -- null: none
    name    text COLLATE "C" NOT NULL DEFAULT '', -- may change, may be erased
    status  text COLLATE "C" NOT NULL,          -- active, revoked, claimed
    chain   bytea NOT NULL,
    size    bigint NOT NULL                     -- number of events, for compare-and-set
);

-- Their key events, sealed, as JCS, in the order in which they were taken.
CREATE TABLE identity_events (
    identity text COLLATE "C" NOT NULL REFERENCES identities (id),
    position bigint NOT NULL,                   -- from 0, dense
    event    bytea NOT NULL,
    hash     bytea NOT NULL,                    -- SHA-256 of event
    taken_at text COLLATE "C" NOT NULL,
    PRIMARY KEY (identity, position),
    UNIQUE (identity, hash)
);

-- +goose Down
DROP TABLE identity_events;
DROP TABLE identities;
