package importer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// repo is a git repository in a temporary folder, free of the user's settings.
type repo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T) *repo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	r := &repo{t: t, dir: t.TempDir()}
	r.git("", "init", "-q", "-b", "main")
	return r
}

// git runs git with stdin and gives its standard output.
func (r *repo) git(stdin string, args ...string) string {
	r.t.Helper()
	return r.gitAt("1700000000 +0000", stdin, args...)
}

func (r *repo) gitAt(date, stdin string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Ana Lima", "GIT_AUTHOR_EMAIL=ana@example.org", "GIT_AUTHOR_DATE="+date,
		"GIT_COMMITTER_NAME=Ana Lima", "GIT_COMMITTER_EMAIL=ana@example.org", "GIT_COMMITTER_DATE="+date)
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, "git %s: %s", strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}

// commit makes a commit of the empty tree with these parents, on no branch.
func (r *repo) commit(date, message string, parents ...string) string {
	r.t.Helper()
	args := []string{"commit-tree", r.git("", "mktree")}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	return r.gitAt(date, message, args...)
}

func (r *repo) head(commit string) { r.git("", "update-ref", "HEAD", commit) }

func (r *repo) items() []Item {
	r.t.Helper()
	src, err := OpenGit(r.t.Context(), r.dir, GitOptions{})
	require.NoError(r.t, err)
	return collect(r.t, src)
}

func collect(t *testing.T, src Source) []Item {
	t.Helper()
	var items []Item
	for item, err := range src.Items(t.Context()) {
		require.NoError(t, err)
		items = append(items, item)
	}
	n, err := src.Count(t.Context())
	require.NoError(t, err)
	require.Len(t, items, int(n))
	return items
}

func TestGitYieldsParentsBeforeChildren(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	root := r.commit("1000000000 +0000", "first\n\nbody")
	a := r.commit("1000000010 +0200", "a", root)
	b := r.commit("1000000005 +0000", "b", root)
	r.head(r.commit("1000000020 +0000", "merge of two", a, b))
	items := r.items()
	require.Len(t, items, 4)
	require.Equal(t, root, items[0].SourceID)
	require.Equal(t, "git.commit", items[0].Type)
	require.Equal(t, root, items[0].Subject)
	require.Empty(t, items[0].Title)
	require.Empty(t, items[0].Causes)
	require.Equal(t, map[string]any{
		"commit": root, "tree": "4b825dc642cb6eb9a060e54bf8d69288fbee4904", "parents": []string{}, "subject": "first",
	}, items[0].Payload)
	require.Equal(t, "ana@example.org", items[0].Actor)
	require.Equal(t, "Ana Lima", items[0].ActorName)
	require.Empty(t, items[0].People, "the committer is the author")
	require.True(t, time.Unix(1000000000, 0).Equal(items[0].Time))
	require.Equal(t, "git.merge", items[3].Type)
	require.Equal(t, []string{a, b}, items[3].Causes)
	require.Equal(t, []string{a, b}, items[3].Payload["parents"])
}

func TestGitSourceIsTheSameForEveryClone(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	root := r.commit("1000000000 +0000", "first")
	r.head(r.commit("1000000001 +0000", "second", root))
	first, err := OpenGit(t.Context(), r.dir, GitOptions{})
	require.NoError(t, err)
	require.Equal(t, "git:"+root, first.Name())

	clone := filepath.Join(t.TempDir(), "elsewhere")
	r.git("", "clone", "-q", "--bare", r.dir, clone)
	second, err := OpenGit(t.Context(), clone, GitOptions{})
	require.NoError(t, err)
	require.Equal(t, first.Name(), second.Name())

	// Unrelated history that is merged in later brings a second root, and
	// changes nothing.
	other := r.commit("900000000 +0000", "another root")
	r.head(r.commit("1000000002 +0000", "join", r.git("", "rev-parse", "HEAD"), other))
	third, err := OpenGit(t.Context(), filepath.Join(r.dir, ".git"), GitOptions{})
	require.NoError(t, err)
	require.Equal(t, first.Name(), third.Name())

	named, err := OpenGit(t.Context(), r.dir, GitOptions{Name: "our monorepo"})
	require.NoError(t, err)
	require.Equal(t, "our monorepo", named.Name())
}

func TestGitNamesTheCommitterWhereItIsSomebodyElse(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	raw := "tree " + r.git("", "mktree") + "\nauthor Ana Lima <ana@example.org> 1000000000 +0000\ncommitter Bo <bo@example.org> 1000000009 +0000\n\nx\n"
	r.head(r.git(raw, "hash-object", "-t", "commit", "-w", "--stdin"))
	item := r.items()[0]
	require.Equal(t, "ana@example.org", item.Actor)
	require.Equal(t, []Person{{Member: "committer", Actor: "bo@example.org", Name: "Bo"}}, item.People)
	require.True(t, time.Unix(1000000009, 0).Equal(item.Time), "the commit's time, not the author's")
}

func TestGitTimesThatNoClockShows(t *testing.T) {
	t.Parallel()
	for name, seconds := range map[string]string{
		"the epoch": "0", "year 9999": "253402300799", "beyond": "253402300800",
		"far beyond": "99999999999999", "past 63 bits": "18446744073709551615",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepo(t)
			raw := "tree " + r.git("", "mktree") + "\nauthor A <a@b> 1 +0000\ncommitter A <a@b> " + seconds + " +0000\n\nx\n"
			r.head(r.git(raw, "hash-object", "-t", "commit", "-w", "--stdin", "--literally"))
			item := r.items()[0]
			at := SpanTime(item.Time)
			require.False(t, at.Before(time.Unix(0, 0)))
			require.LessOrEqual(t, at.Year(), 9999)
			if at.Equal(item.Time) {
				require.NotContains(t, item.Payload, "commit_time")
			} else {
				require.Contains(t, item.Payload, "commit_time", "what git has stays readable")
			}
		})
	}
}

func TestGitTimesThatGitCannotRead(t *testing.T) {
	t.Parallel()
	for name, ending := range map[string]string{"before 1970": "<a@b> -100000 +0000", "no date": "<a@b>", "no brackets": "A 5 +0000"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepo(t)
			raw := "tree " + r.git("", "mktree") + "\nauthor A <a@b> 1 +0000\ncommitter A " + ending + "\n\nx\n"
			r.head(r.git(raw, "hash-object", "-t", "commit", "-w", "--stdin", "--literally"))
			item := r.items()[0]
			require.True(t, SpanTime(item.Time).Equal(time.Unix(0, 0)), "the beginning, not the end: %s", item.Time)
			require.Contains(t, item.Payload, "commit_time", "it is visible that the time is not git's")
		})
	}
}

func TestGitSourceNamesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.head(r.commit("1000000000 +0000", "x"))
	for _, name := range []string{strings.Repeat("x", 257), "bad \xff", "two\nlines"} {
		_, err := OpenGit(t.Context(), r.dir, GitOptions{Name: name})
		require.Equal(t, "source_name_invalid", fault.CodeOf(err), "%q", name)
	}
}

func TestGitSubjectsOfAnyKind(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	tree := r.git("", "mktree")
	raw := "tree " + tree + "\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nbroken \xff\xfe bytes\n"
	first := r.git(raw, "hash-object", "-t", "commit", "-w", "--stdin")
	second := r.commit("1000000005 +0000", strings.Repeat("ä", 1<<20), first)
	r.head(r.commit("1000000006 +0000", "", second))
	items := r.items()
	require.Equal(t, "broken \uFFFD bytes", items[0].Payload["subject"])
	require.Equal(t, strings.Repeat("ä", maxSubjectLine/2), items[1].Payload["subject"])
	require.Equal(t, true, items[1].Payload["subject_truncated"])
	require.Equal(t, "", items[2].Payload["subject"])
}

func TestGitRefusals(t *testing.T) {
	t.Parallel()
	open := func(dir string, opt GitOptions) string {
		_, err := OpenGit(t.Context(), dir, opt)
		return fault.CodeOf(err)
	}
	require.Equal(t, "git_not_a_repository", open(t.TempDir(), GitOptions{}))
	require.Equal(t, "git_not_a_repository", open(filepath.Join(t.TempDir(), "absent"), GitOptions{}))
	require.Equal(t, "git_empty", open(newRepo(t).dir, GitOptions{}))

	r := newRepo(t)
	commit := ""
	for i := range 3 {
		parents := strings.Fields(commit)
		commit = r.commit(fmt.Sprintf("%d +0000", 1000000000+i), "x", parents...)
	}
	r.head(commit)
	shallow := filepath.Join(t.TempDir(), "shallow")
	r.git("", "clone", "-q", "--depth", "1", "file://"+r.dir, shallow)
	require.Equal(t, "git_shallow", open(shallow, GitOptions{}))
	src, err := OpenGit(t.Context(), shallow, GitOptions{AllowShallow: true})
	require.NoError(t, err)
	require.Equal(t, "git-shallow:"+commit, src.Name())
	require.Len(t, collect(t, src), 1)
}

func TestGitStopsWhenToldTo(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	commit := ""
	for i := range 20 {
		commit = r.commit(fmt.Sprintf("%d +0000", 1000000000+i), "x", strings.Fields(commit)...)
	}
	r.head(commit)
	src, err := OpenGit(t.Context(), r.dir, GitOptions{})
	require.NoError(t, err)
	n := 0
	for _, err := range src.Items(t.Context()) {
		require.NoError(t, err)
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, 3, n)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range src.Items(ctx) {
		require.True(t, errors.Is(err, context.Canceled), "%v", err)
	}
}
