// Package importertest holds sources for tests and benchmarks: histories kept
// in files, that go through the importer like any other source.
package importertest

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"time"

	"github.com/danvoulez/logline/internal/importer"
)

// Commits is a git history as gzipped JSON lines, one commit each, parents
// before children: {id, parents, author, committer, commit_time, subject}.
type Commits struct {
	path string
	name string
}

var _ importer.Source = (*Commits)(nil)

// OpenCommits reads a history from path; name is the source's.
func OpenCommits(path, name string) *Commits { return &Commits{path: path, name: name} }

// Name is the source's name.
func (c *Commits) Name() string { return c.name }

// Count reads the whole file.
func (c *Commits) Count(ctx context.Context) (int64, error) {
	n := int64(0)
	for _, err := range c.Items(ctx) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

type commit struct {
	ID         string   `json:"id"`
	Parents    []string `json:"parents"`
	Author     string   `json:"author"`
	Committer  string   `json:"committer"`
	CommitTime string   `json:"commit_time"`
	Subject    string   `json:"subject"`
}

// Items yields the commits as the git source would.
func (c *Commits) Items(ctx context.Context) iter.Seq2[importer.Item, error] {
	return func(yield func(importer.Item, error) bool) {
		f, err := os.Open(c.path)
		if err != nil {
			yield(importer.Item{}, err)
			return
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			yield(importer.Item{}, err)
			return
		}
		lines := bufio.NewScanner(z)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() && ctx.Err() == nil {
			item, err := parseCommit(lines.Bytes())
			if !yield(item, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(importer.Item{}, err)
		}
	}
}

func parseCommit(line []byte) (importer.Item, error) {
	var c commit
	if err := json.Unmarshal(line, &c); err != nil {
		return importer.Item{}, fmt.Errorf("read commit: %w", err)
	}
	at, err := time.Parse(time.RFC3339, c.CommitTime)
	if err != nil {
		return importer.Item{}, fmt.Errorf("commit %s: %w", c.ID, err)
	}
	item := importer.Item{
		SourceID: c.ID, Time: at, Actor: c.Author, ActorName: c.Author, Type: importer.TypeCommit, Subject: c.ID, Causes: c.Parents,
		Payload: map[string]any{"commit": c.ID, "parents": c.Parents, "subject": c.Subject},
	}
	if len(c.Parents) > 1 {
		item.Type = importer.TypeMerge
	}
	if c.Committer != c.Author {
		item.People = []importer.Person{{Member: "committer", Actor: c.Committer, Name: c.Committer}}
	}
	return item, nil
}
