-- +goose Up

-- Facts about this node that must survive a restart: which node the database
-- belongs to, and whether the bootstrap token has been spent.
CREATE TABLE settings (
    key   text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);

-- +goose Down
DROP TABLE settings;
