-- +goose Up

-- What words entries have, in blocks of 1024 entries, each written once it is
-- complete and never before: seq / 1024 is the block. A page holds the words of
-- a block from word on, up to the next page's, and the entries that have them
-- (internal/timeline/words). All of it follows from lines and payloads.
CREATE TABLE timeline_words (
    tenant INTEGER NOT NULL,
    block  INTEGER NOT NULL,
    word   TEXT NOT NULL, -- '' of a block's first page
    page   BLOB NOT NULL,
    PRIMARY KEY (tenant, block, word)
) STRICT;

-- How far that has come. Whoever erases content takes blocks back and counts,
-- in the same transaction: what was made of the content before is not written.
CREATE TABLE timeline_indexed (
    tenant   INTEGER PRIMARY KEY,
    version  INTEGER NOT NULL, -- of what a word is
    blocks   INTEGER NOT NULL, -- those before are indexed
    erasures INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE timeline_indexed;
DROP TABLE timeline_words;
