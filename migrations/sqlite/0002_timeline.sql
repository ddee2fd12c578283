-- The timelines: lines, the fields they are found by, tree hashes, checkpoints
-- and the state that decisions depend on. The lines are the truth; everything
-- else can be rebuilt from them, from the payloads and from the details.

-- +goose Up

CREATE TABLE timeline_tenants (
    tenant         INTEGER PRIMARY KEY, -- the short key of every table below
    id             TEXT NOT NULL UNIQUE,
    slug           TEXT NOT NULL UNIQUE,
    name           TEXT NOT NULL,
    node           TEXT NOT NULL,
    owner          TEXT NOT NULL,
    origin         TEXT NOT NULL, -- of the current epoch
    log_key        TEXT NOT NULL, -- note verifier key of the current epoch
    public_reading INTEGER NOT NULL,
    created_at     TEXT NOT NULL
) STRICT;

-- One row for each tenant, rewritten by every append: the compare-and-set.
CREATE TABLE timeline_heads (
    tenant      INTEGER PRIMARY KEY REFERENCES timeline_tenants,
    size        INTEGER NOT NULL,
    root        BLOB NOT NULL,
    recorded_at TEXT NOT NULL,
    checkpoint  BLOB NOT NULL,
    edge        BLOB NOT NULL -- compact range of [0, size), 32 bytes each
) STRICT;

-- position is tenant * 2^40 + seq, so that a timeline lies together and in
-- order with no further index; every index below ends with it.
-- The columns that can be erased or grow come last.
CREATE TABLE timeline_entries (
    position     INTEGER PRIMARY KEY,
    tenant       INTEGER NOT NULL,
    leaf         BLOB NOT NULL,
    recorded_at  TEXT NOT NULL, -- never decreases with seq: found by bisection
    type         TEXT NOT NULL,
    author       TEXT NOT NULL,
    on_behalf_of TEXT,
    subject      TEXT,
    visibility   INTEGER NOT NULL, -- 0 private, 1 organization, 2 public
    status       TEXT NOT NULL,    -- effective
    redacted     INTEGER NOT NULL,
    line         BLOB NOT NULL,
    salt         TEXT,
    detail       BLOB,
    payload      BLOB
) STRICT;

CREATE INDEX timeline_entries_type ON timeline_entries (tenant, type);
CREATE INDEX timeline_entries_author ON timeline_entries (tenant, author);
CREATE INDEX timeline_entries_subject ON timeline_entries (tenant, subject) WHERE subject IS NOT NULL;
-- Nearly all entries are executed; those are found by position.
CREATE INDEX timeline_entries_status ON timeline_entries (tenant, status) WHERE status <> 'executed';
CREATE INDEX timeline_entries_redacted ON timeline_entries (tenant) WHERE redacted = 1;

-- Every span id that is spent: by its own entry (0) or by the logline.decision
-- that names it (1). UUIDs as 16 bytes.
CREATE TABLE timeline_ids (
    tenant INTEGER NOT NULL,
    id     BLOB NOT NULL,
    seq    INTEGER NOT NULL,
    spent  INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE timeline_tags (
    tenant INTEGER NOT NULL,
    tag    TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (tenant, tag, seq)
) STRICT, WITHOUT ROWID;

-- What entries refer to: causes (kind 0), spans their payload acts on (1).
CREATE TABLE timeline_links (
    tenant INTEGER NOT NULL,
    kind   INTEGER NOT NULL,
    id     BLOB NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, id, seq)
) STRICT, WITHOUT ROWID;

-- Roots of the complete aligned subtrees of 256, 256^2 … leaves (RFC 6962).
CREATE TABLE timeline_hashes (
    tenant INTEGER NOT NULL,
    level  INTEGER NOT NULL, -- 8, 16, 24 …
    idx    INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    PRIMARY KEY (tenant, level, idx)
) STRICT, WITHOUT ROWID;

-- The signed note of every committed size.
CREATE TABLE timeline_checkpoints (
    tenant INTEGER NOT NULL,
    size   INTEGER NOT NULL,
    note   BLOB NOT NULL,
    PRIMARY KEY (tenant, size)
) STRICT, WITHOUT ROWID;

-- What decisions depend on, as of the head: opaque keys and values.
CREATE TABLE timeline_state (
    tenant INTEGER NOT NULL,
    key    TEXT NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

-- Which timelines hold an identity.
CREATE TABLE timeline_identities (
    identity TEXT NOT NULL,
    tenant   INTEGER NOT NULL,
    PRIMARY KEY (identity, tenant)
) STRICT, WITHOUT ROWID;

-- +goose Down

DROP TABLE timeline_identities;
DROP TABLE timeline_state;
DROP TABLE timeline_checkpoints;
DROP TABLE timeline_hashes;
DROP TABLE timeline_links;
DROP TABLE timeline_tags;
DROP TABLE timeline_ids;
DROP TABLE timeline_entries;
DROP TABLE timeline_heads;
DROP TABLE timeline_tenants;
