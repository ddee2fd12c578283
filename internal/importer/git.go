package importer

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danvoulez/logline/internal/fault"
)

// Types of the spans that a commit becomes: a merge is a commit with two or
// more parents, and `git.*` finds both.
const (
	TypeCommit = "git.commit"
	TypeMerge  = "git.merge"
)

// maxSourceName bounds the name that somebody gives a source, in bytes.
const maxSourceName = 256

// maxSubjectLine bounds the commit's subject line in the payload, in bytes.
// git joins the whole first paragraph, which can be of any size.
const maxSubjectLine = 8 << 10

// Refusals of OpenGit.
var (
	ErrGitMissing = fault.New(fault.Unavailable, "git_missing", "the git command was not found; install git and try again")
	ErrNotGit     = fault.New(fault.NotFound, "git_not_a_repository", "this is not a git repository")
	ErrGitEmpty   = fault.New(fault.NotFound, "git_empty", "the repository has no commits yet")
	ErrGitShallow = fault.New(fault.Invalid, "git_shallow",
		"the repository is a shallow clone, without its older history; complete it with `git fetch --unshallow`, or import what is there with --allow-shallow")
	errGitFailed = fault.New(fault.Unavailable, "git_failed", "git failed")
	errName      = fault.New(fault.Invalid, "source_name_invalid", "the name of the source must be one line of UTF-8, at most 256 bytes")
)

// GitOptions change how a repository is read.
type GitOptions struct {
	// Name replaces the name of the source. Without it the name is
	// "git:<first commit on HEAD's first-parent line>", which every clone
	// shares and which new commits do not change.
	Name string
	// AllowShallow reads a shallow clone. Its oldest commits have lost their
	// parents, so it is another source ("git-shallow:…") than the whole
	// repository and never collides with it.
	AllowShallow bool
}

// Git is the history of one repository's HEAD, oldest first, parents before
// children. Authors and committers are its people, by e-mail as the commit has
// it; the committer is named only where it is not the author. An item's payload
// is {commit, tree, parents, subject}, with commit_time as git has it ("" where
// git can read none) only where SpanTime had to move it, and subject_truncated
// where that is so.
type Git struct {
	dir  string
	name string
}

var _ Source = (*Git)(nil)

// OpenGit finds the repository at or above dir and its name.
func OpenGit(ctx context.Context, dir string, opt GitOptions) (*Git, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, ErrNotGit.Because(err)
	}
	if info, err := os.Stat(abs); err != nil || !info.IsDir() {
		return nil, detail(ErrNotGit, "%s is not a directory", dir)
	}
	if len(opt.Name) > maxSourceName || !utf8.ValidString(opt.Name) || strings.ContainsFunc(opt.Name, unicode.IsControl) {
		return nil, errName
	}
	g := &Git{dir: abs, name: opt.Name}
	if _, err := g.output(ctx, "rev-parse", "--git-dir"); err != nil {
		if fault.CodeOf(err) == ErrGitMissing.Code || !strings.Contains(strings.ToLower(err.Error()), "not a git repository") {
			return nil, err
		}
		return nil, detail(ErrNotGit, "%s is not in a git repository", dir)
	}
	if _, err := g.output(ctx, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"); err != nil {
		return nil, detail(ErrGitEmpty, "the repository at %s has no commits yet", dir)
	}
	shallow, err := g.output(ctx, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return nil, err
	}
	if shallow == "true" && !opt.AllowShallow {
		return nil, ErrGitShallow
	}
	if g.name != "" {
		return g, nil
	}
	root, err := g.output(ctx, "rev-list", "--first-parent", "--max-parents=0", "HEAD")
	if err != nil {
		return nil, err
	}
	if g.name = "git:" + root; shallow == "true" {
		g.name = "git-shallow:" + root
	}
	return g, nil
}

// Name is the source's name, see GitOptions.
func (g *Git) Name() string { return g.name }

// Count is the number of commits that HEAD reaches.
func (g *Git) Count(ctx context.Context) (int64, error) {
	out, err := g.output(ctx, "rev-list", "--count", "HEAD")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(out, 10, 64)
	if err != nil {
		return 0, errGitFailed.Because(err)
	}
	return n, nil
}

// Fields of one commit as the format below writes them, each ended by NUL.
const (
	fieldCommit = iota
	fieldTree
	fieldParents
	fieldTime
	fieldAuthor
	fieldAuthorName
	fieldCommitter
	fieldCommitterName
	fieldSubject
	fields
)

const format = "--format=tformat:%H%x00%T%x00%P%x00%ct%x00%ae%x00%an%x00%ce%x00%cn%x00%s"

// Items streams the commits out of one `git log`.
func (g *Git) Items(ctx context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		cmd := g.command(ctx, "-c", "log.showSignature=false", "log", "-z", "--topo-order", "--reverse",
			"--no-patch", "--no-notes", "--no-decorate", "--no-color", "--no-mailmap", "--encoding=UTF-8", format, "HEAD")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			yield(Item{}, gitError(err, ""))
			return
		}
		r := bufio.NewReaderSize(out, 64<<10)
		for {
			item, err := readCommit(r)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || !yield(item, nil) {
				cancel()
				stopped := cmd.Wait() // by us, unless it had ended in the middle of a record
				if err != nil {
					yield(Item{}, gitError(cmp.Or(stopped, err), stderr.String()))
				}
				return
			}
		}
		if err := cmd.Wait(); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			} else {
				err = gitError(err, stderr.String())
			}
			yield(Item{}, err)
		}
	}
}

// readCommit reads one record; io.EOF between records is the end.
func readCommit(r *bufio.Reader) (Item, error) {
	var f [fields]string
	for i := range f {
		s, err := r.ReadString(0)
		if err != nil {
			if errors.Is(err, io.EOF) && (i > 0 || s != "") {
				err = io.ErrUnexpectedEOF
			}
			return Item{}, err
		}
		f[i] = strings.ToValidUTF8(s[:len(s)-1], "\uFFFD")
	}
	seconds, err := strconv.ParseInt(f[fieldTime], 10, 64)
	switch {
	case f[fieldTime] == "":
		seconds = -1 // git reads no time there, which is what it makes of times before 1970
	case err != nil:
		seconds = latest.Unix() + 1 // git keeps times as unsigned numbers; past 2^63 only the end is left
	}
	// Beyond this time.Time wraps around; SpanTime moves it to the end anyhow.
	at := time.Unix(min(seconds, latest.Unix()+1), 0)
	parents := strings.Fields(f[fieldParents])
	payload := map[string]any{
		"commit":  f[fieldCommit],
		"tree":    f[fieldTree],
		"parents": slices.Clone(parents),
		"subject": f[fieldSubject],
	}
	if parents == nil {
		payload["parents"] = []string{}
	}
	if !SpanTime(at).Equal(at) {
		payload["commit_time"] = f[fieldTime]
	}
	if s := f[fieldSubject]; len(s) > maxSubjectLine {
		cut := maxSubjectLine
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		payload["subject"], payload["subject_truncated"] = s[:cut], true
	}
	item := Item{
		SourceID:  f[fieldCommit],
		Time:      at,
		Actor:     f[fieldAuthor],
		ActorName: f[fieldAuthorName],
		Type:      TypeCommit,
		Subject:   f[fieldCommit],
		Causes:    parents,
		Payload:   payload,
	}
	if len(parents) > 1 {
		item.Type = TypeMerge
	}
	if f[fieldCommitter] != f[fieldAuthor] {
		item.People = []Person{{Member: "committer", Actor: f[fieldCommitter], Name: f[fieldCommitterName]}}
	}
	return item, nil
}

// command is git working on the repository, not on one that the environment
// names, and on the commits as they are, without replacements.
func (g *Git) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", append([]string{"--no-pager", "-C", g.dir}, args...)...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return name == "GIT_DIR" || name == "GIT_WORK_TREE" || name == "GIT_INDEX_FILE" || name == "GIT_NAMESPACE"
	}), "LC_ALL=C", "GIT_NO_REPLACE_OBJECTS=1", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0")
	return cmd
}

// output runs git and gives its standard output without the last newline.
func (g *Git) output(ctx context.Context, args ...string) (string, error) {
	cmd := g.command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", gitError(err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// gitError says what git said; its first line is the reason.
func gitError(err error, stderr string) error {
	if errors.Is(err, exec.ErrNotFound) {
		return ErrGitMissing.Because(err)
	}
	// At a terminal Ctrl-C reaches git too, and maybe before it reaches us.
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == -1 {
		return fmt.Errorf("git was stopped: %w", context.Canceled)
	}
	if said := strings.TrimSpace(stderr); said != "" {
		first, _, _ := strings.Cut(said, "\n")
		return detail(errGitFailed, "git says: %s", first).Because(err)
	}
	return errGitFailed.Because(err)
}

func detail(e *fault.Error, format string, args ...any) *fault.Error {
	c := *e
	c.Detail = fmt.Sprintf(format, args...)
	return &c
}
