package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// repository is a git repository with a real history, and its name: the large
// sample made into commits again, or without it the one that this program is
// built from.
func (b *bench) repository(ctx context.Context) (dir, name string, err error) {
	data := os.Getenv("LOGLINE_TEST_DATA")
	if data == "" {
		data = filepath.Join("..", "shared", "data")
	}
	commits, err := os.Open(filepath.Join(data, "git-nats-server", "commits.jsonl.gz"))
	if err != nil {
		b.say("import: no large sample history (set LOGLINE_TEST_DATA); this repository's instead")
		dir, err = filepath.Abs(".")
		return dir, "this repository", err
	}
	defer commits.Close()
	dir = filepath.Join(b.dir, "history")
	if _, err := os.Stat(dir); err == nil {
		return dir, "nats-server", nil
	}
	var stream bytes.Buffer
	if err := writeHistory(&stream, commits, b.pick(0, 1000)); err != nil {
		return "", "", fmt.Errorf("%s: %w", commits.Name(), err)
	}
	if err := git(ctx, nil, "init", "--quiet", "--bare", "--initial-branch=main", dir); err != nil {
		return "", "", err
	}
	if err := git(ctx, &stream, "-C", dir, "fast-import", "--quiet"); err != nil {
		return "", "", err
	}
	// As git leaves a repository that it has looked after for a while.
	return dir, "nats-server", git(ctx, nil, "-C", dir, "gc", "--quiet")
}

func git(ctx context.Context, stdin io.Reader, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Stdin = stdin
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return nil
}

// commit is one of the sample's.
type commit struct {
	ID         string    `json:"id"`
	Parents    []string  `json:"parents"`
	Author     string    `json:"author"`
	AuthorTime time.Time `json:"author_time"`
	Committer  string    `json:"committer"`
	Time       time.Time `json:"commit_time"`
	Subject    string    `json:"subject"`
}

// writeHistory writes the sample's commits, or the first most of them, as git
// fast-import reads them: as they are, but without files and under the names
// that stand for their people.
func writeHistory(w io.Writer, gzipped io.Reader, most int) error {
	lines, err := gzip.NewReader(gzipped)
	if err != nil {
		return err
	}
	marks := map[string]int{}
	in := json.NewDecoder(bufio.NewReader(lines))
	for most == 0 || len(marks) < most {
		var c commit
		if err := in.Decode(&c); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		marks[c.ID] = len(marks) + 1
		fmt.Fprintf(w, "commit refs/heads/main\nmark :%d\nauthor %s <%s@example.org> %d +0000\ncommitter %s <%s@example.org> %d +0000\ndata %d\n%s\n",
			marks[c.ID], c.Author, c.Author, c.AuthorTime.Unix(), c.Committer, c.Committer, c.Time.Unix(), len(c.Subject), c.Subject)
		for i, parent := range c.Parents {
			mark, known := marks[parent]
			if !known {
				return fmt.Errorf("commit %s comes before its parent %s", c.ID, parent)
			}
			word := "merge"
			if i == 0 {
				word = "from"
			}
			fmt.Fprintf(w, "%s :%d\n", word, mark)
		}
	}
	return nil
}
