-- +goose Up

-- What words entries have, in blocks of 1024 entries, each written once it is
-- complete and never before: seq / 1024 is the block. A page holds the words of
-- a block from word on, up to the next page's, and the entries that have them
-- (internal/timeline/words). All of it follows from lines and payloads.
--
-- It is an index of our own because the server may use none on tsvector here:
-- the condition of row-level security comes first, and only comparisons that
-- cannot leak, as those of numbers and texts, are looked up together with it.
CREATE TABLE timeline_words (
    tenant bigint NOT NULL,
    block  bigint NOT NULL,
    word   text COLLATE "C" NOT NULL, -- '' of a block's first page
    page   bytea NOT NULL,
    PRIMARY KEY (tenant, block, word)
);
-- Pages are made to fit beside each other; keep them there.
ALTER TABLE timeline_words ALTER COLUMN page SET STORAGE MAIN;

-- How far that has come. Whoever erases content takes blocks back and counts,
-- in the same transaction: what was made of the content before is not written.
CREATE TABLE timeline_indexed (
    tenant   bigint PRIMARY KEY,
    version  integer NOT NULL, -- of what a word is
    blocks   bigint NOT NULL,  -- those before are indexed
    erasures bigint NOT NULL
) WITH (fillfactor = 30);

ALTER TABLE timeline_words   ENABLE ROW LEVEL SECURITY;
ALTER TABLE timeline_indexed ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON timeline_words   USING (tenant = (SELECT logline_tenant()));
CREATE POLICY tenant ON timeline_indexed USING (tenant = (SELECT logline_tenant()));

-- +goose Down
DROP TABLE timeline_indexed;
DROP TABLE timeline_words;
