-- +goose Up

-- What witnesses said of checkpoints (C2SP tlog-cosignature), beside the
-- timelines, wherever these are: the latest of each witness for each checkpoint.
CREATE TABLE timeline_cosignatures (
    tenant    TEXT NOT NULL,   -- id
    size      BIGINT NOT NULL, -- of the checkpoint
    note      BYTEA NOT NULL,  -- SHA-256 of the checkpoint's signed text
    name      TEXT NOT NULL,   -- of the witness's key
    key_id    BIGINT NOT NULL, -- of that key, 32 bits
    signature BYTEA NOT NULL,  -- time in seconds, 8 bytes big-endian, and 64 bytes of Ed25519
    PRIMARY KEY (tenant, size, note, name, key_id)
);

-- +goose Down
DROP TABLE timeline_cosignatures;
