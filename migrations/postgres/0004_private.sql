-- +goose Up

-- The types of private entries, so that a tally for members can leave them out.
CREATE INDEX timeline_entries_private ON timeline_entries (tenant, type) WHERE visibility = 0;

-- +goose Down
DROP INDEX timeline_entries_private;
