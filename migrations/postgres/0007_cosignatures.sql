-- +goose Up

-- What witnesses said of checkpoints (C2SP tlog-cosignature), beside the
-- timelines, wherever these are: the latest of each witness for each checkpoint.
CREATE TABLE timeline_cosignatures (
    tenant    text COLLATE "C" NOT NULL, -- id; what is here is open to all, like checkpoints
    size      bigint NOT NULL,           -- of the checkpoint
    note      bytea NOT NULL,            -- SHA-256 of the checkpoint's signed text
    name      text COLLATE "C" NOT NULL, -- of the witness's key
    key_id    bigint NOT NULL,           -- of that key, 32 bits
    signature bytea NOT NULL,            -- time in seconds, 8 bytes big-endian, and 64 bytes of Ed25519
    PRIMARY KEY (tenant, size, note, name, key_id)
);

-- +goose Down
DROP TABLE timeline_cosignatures;
