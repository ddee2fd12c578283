package attack

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

// command runs the program as somebody would at a terminal, with a home of its
// own, and gives what it printed and the most memory that it had.
func command(t testing.TB, home string, env []string, args ...string) (output string, code int, peak int64) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home), env...)
	cmd.Dir = home
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { peak = watch(cmd.Process.Pid, ended) })
	_ = cmd.Wait()
	close(ended)
	watching.Wait()
	return out.String(), cmd.ProcessState.ExitCode(), peak
}

// watch is the most memory that a process had while it was looked at, in bytes; 0
// where the system does not tell.
func watch(pid int, ended <-chan struct{}) (peak int64) {
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if _, rest, ok := strings.Cut(string(raw), "VmHWM:"); ok {
			var kib int64
			if _, err := fmt.Sscan(rest, &kib); err == nil {
				peak = max(peak, kib<<10)
			}
		}
		select {
		case <-ended:
			return peak
		case <-look.C:
		}
	}
}

// Gained would be: the memory or the time of whoever opens a file that somebody
// sent: a backup, a bundle, lines.
func TestHostileFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	pack := func(write func(*zstd.Encoder), options ...zstd.EOption) []byte {
		var b bytes.Buffer
		z, err := zstd.NewWriter(&b, options...)
		require.NoError(t, err)
		write(z)
		require.NoError(t, z.Close())
		return b.Bytes()
	}
	zeros := bytes.Repeat([]byte{0}, 1<<20)
	of := func(n int, some []byte) func(*zstd.Encoder) {
		return func(z *zstd.Encoder) {
			for range n {
				_, _ = z.Write(some)
			}
		}
	}
	size := 2048
	if testing.Short() {
		size = 256
	}
	// The head of a real backup, and then a line without end.
	node := newNode(t, "sqlite")
	node.tenant = node.firstTenant()
	real := filepath.Join(dir, "real.logline")
	out, code, _ := command(t, dir, nil, "backup", real, "--data-dir", node.Dir)
	require.Zero(t, code, out)
	packed, err := os.Open(real)
	require.NoError(t, err)
	defer packed.Close()
	unpacked, err := zstd.NewReader(packed)
	require.NoError(t, err)
	defer unpacked.Close()
	lines := bufio.NewReader(unpacked)
	var head []byte
	for range 3 {
		line, err := lines.ReadBytes('\n')
		require.NoError(t, err)
		head = append(head, line...)
	}
	const bundleHeader = `{"logline":"bundle","v":1,"tenant":{"id":"0190a000-0000-8000-8000-000000000000","slug":"x","name":"x"}`
	files := map[string][]string{
		"a bomb of one line":        {"restore", write("line.logline", pack(of(size, zeros)))},
		"a bomb behind a real head": {"restore", write("head.logline", pack(func(z *zstd.Encoder) { _, _ = z.Write(head); of(size, zeros)(z) }))},
		"a bomb of lines":           {"restore", write("lines.logline", pack(of(size, bytes.Repeat([]byte("\n"), 1<<20))))},
		"a window beyond all":       {"restore", write("window.logline", pack(of(16, zeros), zstd.WithWindowSize(zstd.MaxWindowSize)))},
		"a bomb in a bomb":          {"restore", write("nested.logline", pack(func(z *zstd.Encoder) { _, _ = z.Write(pack(of(256, zeros))) }))},
		"no archive":                {"restore", write("none.logline", []byte("PK\x03\x04not an archive"))},
		"a bundle of one line":      {"verify", write("line.ndjson", bytes.Repeat([]byte("x"), 80<<20))},
		"a bundle as deep as long":  {"verify", write("deep.ndjson", []byte(strings.Repeat(`{"a":`, 2<<20)))},
		"a bundle that claims much": {"verify", write("much.ndjson", []byte(bundleHeader+`,"from":0,"to":9007199254740991,"packages":[]}`+"\n"))},
		"a bundle of nothing":       {"verify", write("empty.ndjson", nil)},
		"lines of one line":         {"verify", write("zeros.ndjson", bytes.Repeat(zeros, 64))},
		"a contract of brackets":    {"rules", "check", write("deep.lll", []byte("contract a.b version \"1.0.0\" {"+strings.Repeat("rule x { when: (", 50_000)))},
		"a contract of 8 MiB":       {"rules", "check", write("long.lll", bytes.Repeat([]byte("x "), 4<<20))},
	}
	for name, args := range files {
		began := time.Now()
		if args[0] == "restore" {
			args = append(args, "--data-dir", filepath.Join(dir, strings.ReplaceAll(name, " ", "-")))
		}
		out, code, peak := command(t, dir, nil, args...)
		require.NotZero(t, code, "%s was taken: %s", name, out)
		require.NotContains(t, out, "panic", name)
		require.NotContains(t, out, "goroutine", name)
		most := int64(200 << 20)
		if strings.HasSuffix(name, "real head") {
			most = 500 << 20 // the largest entry that a node can be set to take, read whole
		}
		require.Less(t, peak, most, "%s: bytes of memory", name)
		require.Less(t, time.Since(began), 2*time.Minute, name)
		t.Logf("%s: %s, %d MiB: %.120s", name, time.Since(began).Round(time.Millisecond), peak>>20, out)
	}
}

// Gained would be: a terminal or a log that says what the attacker wants it to
// say, by a name or a title.
func TestNothingIsSmuggledIntoTerminalsAndLogs(t *testing.T) {
	s := alone(t)
	const evil = "\x1b]0;owned\x07\x1b[2J\x1b[31mERROR\x9b1m\u202egnp.exe\u2066x\u2069\u200b\u200f\u2028\r\nlevel=ERROR msg=\"root logged in\"\x00"
	title := strings.ReplaceAll(evil, "\x00", "")
	raw := s.seal(s.member, string(jsonOf(t, map[string]string{"text": title, title: "x"})), func(h *span.Header) {
		h.Title, h.Subject, h.Tags = title, title, []string{title}
	})
	r := s.append(raw)
	if r.status != http.StatusCreated { // controls may not even enter
		require.Equal(t, http.StatusBadRequest, r.status, "%s", r.body)
		raw = s.seal(s.member, `{}`)
		s.append(raw).want(t, http.StatusCreated)
	}
	// Names of the directory take no such characters at all.
	for _, name := range []string{title, "a\x1b[2Jb", "a\u202eb", "a\u2066b", "a\u200bb", "a\u200fb", "a\u2028b", "a\ufeffb", "a\u2060b", "a\U000e0041b"} {
		r := s.do(http.MethodPatch, s.token(s.member), "/v1/identities/"+bare(s.member), "application/json", jsonOf(t, map[string]string{"name": name}))
		require.Equal(t, http.StatusBadRequest, r.status, "%q is a name: %s", name, r.body)
	}
	// What people may well be called.
	for _, name := range []string{"Ana Pérez", "李小龍", "محمد", "नि\u200dता", "👩\u200d🔬 Rosa", "Ж. О'Нил"} {
		s.do(http.MethodPatch, s.token(s.member), "/v1/identities/"+bare(s.member), "application/json", jsonOf(t, map[string]string{"name": name})).want(t, http.StatusOK)
	}

	home := t.TempDir()
	env := []string{"LOGLINE_URL=" + s.URL}
	out, code, _ := command(t, home, env, "identity", "create", "ana", "--no-passphrase")
	require.Zero(t, code, out)
	out, code, _ = command(t, home, env, "identity", "register", "--profile", "ana", "--handle", "ana")
	require.Zero(t, code, out)
	var ana struct{ ID string }
	s.get(s.token(s.owner), "/v1/identities/@ana").want(t, http.StatusOK).decode(t, &ana)
	payload, err := span.Canonical(span.Member{Identity: ana.ID, Roles: []string{"auditor", "member", "admin"}, Action: span.ActionGrant})
	require.NoError(t, err)
	s.append(s.seal(s.owner, string(payload), typed(span.TypeMember))).want(t, http.StatusCreated)
	for _, args := range [][]string{
		{"list"}, {"show", idOf(t, raw)}, {"why", idOf(t, raw)}, {"member", "list"}, {"tenant", "list"}, {"tenant", "show", "acme"}, {"list", "--all", "--format", "csv"}, {"tasks", "list"}, {"identity", "show", bare(s.member)},
		{"show", title}, {"list", "--type", title}, {"tenant", "show", title},
	} {
		args = append(args, "--profile", "ana")
		if args[0] != "tenant" && args[0] != "identity" {
			args = append(args, "--tenant", "acme")
		}
		out, _, _ := command(t, home, env, args...)
		require.NotEmpty(t, out, args)
		for _, r := range strings.ReplaceAll(strings.ReplaceAll(out, "\n", ""), "\t", "") {
			require.False(t, r < 0x20 || r >= 0x7f && r < 0xa0 || strings.ContainsRune("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u2028\u2029", r), "%v prints %U: %q", args, r, out)
		}
	}
	// The log is one JSON object a line, whatever a caller calls itself or asks for.
	for _, header := range []http.Header{
		{"X-Request-Id": {"x\"} {\"level\":\"ERROR\""}}, {"User-Agent": {title[:4]}}, {"X-Request-Id": {strings.Repeat("a", 10_000)}},
	} {
		req, err := http.NewRequest(http.MethodGet, s.URL+"/v1/tenants/%0A%7B%22level%22:%22ERROR%22%7D%1b%5b2J", nil)
		require.NoError(t, err)
		for name, values := range header {
			req.Header[name] = []string{strings.Map(func(r rune) rune {
				if r < 0x20 {
					return -1
				}
				return r
			}, values[0])}
		}
		resp, err := browser().Do(req)
		require.NoError(t, err)
		_ = resp.Body.Close()
	}
	for i, line := range strings.Split(strings.TrimSpace(s.Log.String()), "\n") {
		if i == 0 {
			continue // the end of one that is cut off
		}
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry), "%q", line)
		require.NotContains(t, line, "\x1b")
	}
}

// Gained would be: to be taken for somebody else by a name that looks the same.
func TestLookAlikes(t *testing.T) {
	s := alone(t)
	set := func(handle string) reply {
		return s.do(http.MethodPatch, s.token(s.mallory), "/v1/identities/"+bare(s.mallory), "application/json", jsonOf(t, map[string]string{"handle": handle}))
	}
	s.do(http.MethodPatch, s.token(s.owner), "/v1/identities/"+bare(s.owner), "application/json", []byte(`{"handle":"ana"}`)).want(t, http.StatusOK)
	for name, handle := range map[string]string{
		"Cyrillic": "аna", "Greek": "αna", "full width": "ａna", "mathematical": "𝒶na", "combining": "a\u0301na", "zero width": "a\u200bna", "joiner": "a\u200dna", "soft hyphen": "a\u00adna",
		"right to left": "\u202eana", "upper case": "Ana", "dotless": "anaı", "with a space": "ana ", "with an at": "@ana", "NUL": "ana\u0000", "newline": "ana\n", "tag": "ana\U000e0061", "percent": "%61na", "slash": "ana/", "long": strings.Repeat("a", 64),
		"of punctuation": ".ana", "punycode of Cyrillic": "аna.xn--80ak6aa92e",
	} {
		r := set(handle)
		require.Equal(t, http.StatusBadRequest, r.status, "%s: %q is a handle: %s", name, handle, r.body)
	}
	// A handle leads to one identity whatever the way of writing it.
	for _, at := range []string{"@ana", "@%61na"} {
		var found struct{ ID string }
		s.get(s.token(s.mallory), "/v1/identities/"+at).want(t, http.StatusOK).decode(t, &found)
		require.Equal(t, s.owner.ID(), found.ID)
	}
	for _, at := range []string{"@ANA", "@ana%20", "@ana%00", "@%EF%BD%81na", "@ana/..", "@ana%2f"} {
		require.NotEqual(t, http.StatusOK, s.get(s.token(s.mallory), "/v1/identities/"+at).status, at)
	}
	// And types, which contracts decide by, are of one alphabet too.
	for _, typ := range []string{"ｌogline.member", "lоgline.member", "Logline.member", "logline\u200b.member", "logline.member\u0000", ".logline.member"} {
		raw := []byte(strings.Replace(string(s.seal(s.member, `{}`)), `"test.happened"`, string(jsonOf(t, typ)), 1))
		require.Equal(t, http.StatusBadRequest, s.append(raw).status, typ)
	}
}

// Gained would be: a list of who and what is on the node.
func TestEnumeration(t *testing.T) {
	onEach(t, func(t *testing.T, s *scene) {
		s.do(http.MethodPatch, s.token(s.owner), "/v1/identities/"+bare(s.owner), "application/json", []byte(`{"handle":"ana"}`)).want(t, http.StatusOK)
		// Without a credential a handle that is there and one that is not are one.
		for _, rest := range []string{"", "/events"} {
			require.Equal(t, s.get("", "/v1/identities/@nobody"+rest).same(), s.get("", "/v1/identities/@ana"+rest).same(), rest)
		}
		// No route lists identities, and lists of tenants are of those one may read.
		require.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, s.get(s.token(s.mallory), "/v1/identities").status)
		for who, token := range map[string]string{"another tenant's owner": s.token(s.mallory), "former": s.token(s.former), "its API key": s.apiKey(s.mallory, nil)} {
			r := s.get(token, "/v1/tenants").want(t, http.StatusOK)
			require.NotContains(t, string(r.body), s.tenant.Id, who)
			require.NotContains(t, string(r.body), s.tenant.Slug+`"`, who)
		}
		require.Equal(t, http.StatusUnauthorized, s.get("", "/v1/tenants").status)
		// By slug nothing open answers, and appending tells as little.
		for _, path := range []string{"/checkpoint", "/proofs/inclusion?index=0&size=1", "/tile/0/000.p/1"} {
			require.Equal(t, s.get("", "/v1/tenants/nowhere"+path).same(), s.get("", "/v1/tenants/acme"+path).same(), path)
			require.Equal(t, s.get(s.token(s.mallory), "/v1/tenants/nowhere"+path).same(), s.get(s.token(s.mallory), "/v1/tenants/acme"+path).same(), path)
		}
		theirs := s.seal(s.mallory, `{}`, in(s.evil))
		for _, path := range []string{"/spans", "/simulations"} {
			require.Equal(t, s.post("", "/v1/tenants/nowhere"+path, theirs).same(), s.post("", "/v1/tenants/acme"+path, theirs).same(), path)
		}
		// API keys and tasks are found by whoever may, and by nobody who counts through.
		for i := range 20 {
			r := s.get(s.token(s.member), s.at(fmt.Sprintf("/tasks/%s.%d", s.private, i)))
			require.Equal(t, http.StatusNotFound, r.status)
		}
	})
}
