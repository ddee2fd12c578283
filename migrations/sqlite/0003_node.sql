-- +goose Up

-- Facts about this node that must survive a restart: which node the database
-- belongs to, and whether the bootstrap token has been spent.
CREATE TABLE settings (
    key   TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE settings;
