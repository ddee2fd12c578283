-- +goose Up

-- The planner's statistics (pg_statistic) hold values of a column as it found
-- them, and would go on holding them after they were erased: none are kept of
-- what can be erased. No plan rests on them. Those that there are go with a
-- change of the column's type to the same type, which rewrites nothing, but
-- forgets how the column is stored.
-- +goose StatementBegin
DO $$
DECLARE c record;
BEGIN
    FOR c IN
        SELECT a.attrelid::regclass AS relation, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
            CASE WHEN a.atttypid = 'text'::regtype THEN ' COLLATE "C"' ELSE '' END AS collation,
            CASE a.attstorage WHEN 'm' THEN 'MAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'p' THEN 'PLAIN' ELSE 'EXTENDED' END AS storage,
            CASE a.attcompression WHEN 'l' THEN 'lz4' WHEN 'p' THEN 'pglz' END AS compression
        FROM pg_attribute a
        JOIN (VALUES ('timeline_entries', 'salt'), ('timeline_entries', 'detail'), ('timeline_entries', 'payload'),
            ('timeline_words', 'word'), ('timeline_words', 'page'), ('identities', 'handle'), ('identities', 'name')) AS erasable (relation, name)
            ON a.attrelid = to_regclass(erasable.relation) AND a.attname = erasable.name
    LOOP
        EXECUTE format('ALTER TABLE %1$s ALTER COLUMN %2$I SET STATISTICS 0, ALTER COLUMN %2$I TYPE %3$s%4$s, ALTER COLUMN %2$I SET STORAGE %5$s',
            c.relation, c.name, c.type, c.collation, c.storage);
        IF c.compression IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION %s', c.relation, c.name, c.compression);
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
ALTER TABLE timeline_entries ALTER COLUMN salt SET STATISTICS -1, ALTER COLUMN detail SET STATISTICS -1, ALTER COLUMN payload SET STATISTICS -1;
ALTER TABLE timeline_words ALTER COLUMN word SET STATISTICS -1, ALTER COLUMN page SET STATISTICS -1;
ALTER TABLE identities ALTER COLUMN handle SET STATISTICS -1, ALTER COLUMN name SET STATISTICS -1;
