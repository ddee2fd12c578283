package systemtest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/secret/plant"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// harbour is a node in whose environment, requests and database secrets were
// planted, and what it and its commands told of anything since.
type harbour struct {
	t      *testing.T
	plants plant.Plants
	env    map[string]string // of server and commands
	root   string
	server *server
	node   string // LogLine ID
	tenant string

	told map[string][]byte // by who told it: errors, logs, metrics, lists of processes
}

// planted is a secret that looks like nothing else.
func (h *harbour) planted(name string) string {
	raw := make([]byte, 18)
	_, err := rand.Read(raw)
	require.NoError(h.t, err)
	text := "planted" + strings.NewReplacer("-", "x", "_", "y").Replace(base64.RawURLEncoding.EncodeToString(raw))
	h.plants.Text(name, text)
	return text
}

// tell keeps what somebody was told for the search at the end.
func (h *harbour) tell(who string, text []byte) {
	h.told[who] = append(append(h.told[who], '\n'), text...)
}

func (h *harbour) environ(more ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.root, "TMPDIR=" + os.TempDir(), "GOTRACEBACK=all"}
	for name, value := range h.env {
		env = append(env, name+"="+value)
	}
	return append(env, more...) // the later one wins
}

// command runs the program; what it prints as an error is told, and so is the
// rest unless it gives a secret out.
func (h *harbour) command(gives bool, env []string, args ...string) (stdout string, err error) {
	h.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Env = h.root, h.environ(env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	h.tell("stderr of logline "+args[0], errs.Bytes())
	if !gives {
		h.tell("stdout of logline "+args[0], out.Bytes())
	}
	return out.String(), err
}

// must is command for what has to work.
func (h *harbour) must(gives bool, args ...string) string {
	h.t.Helper()
	out, err := h.command(gives, nil, args...)
	require.NoError(h.t, err, "%v:\n%s", args, h.told["stderr of logline "+args[0]])
	return out
}

// start runs the server in the environment as it is now.
func (h *harbour) start() {
	h.t.Helper()
	p, err := program.New(binary, filepath.Join(h.root, "data"))
	require.NoError(h.t, err)
	p.Cmd.Env, p.Cmd.Dir = h.environ(), h.root
	h.server = started(h.t, p)
	h.env["LOGLINE_URL"] = p.URL
}

// stop ends the server and keeps its log.
func (h *harbour) stop(sig syscall.Signal) {
	h.t.Helper()
	require.NoError(h.t, h.server.Cmd.Process.Signal(sig))
	h.server.Wait()
	h.tell("the server's log", h.server.Log.Bytes())
}

// request sends what it is told to, and tells what is answered as an error.
func (h *harbour) request(method, path, credential string, body []byte, header ...string) (int, []byte) {
	h.t.Helper()
	req, err := http.NewRequest(method, h.server.URL+path, bytes.NewReader(body))
	require.NoError(h.t, err)
	req.Header.Set("Content-Type", "application/json")
	if credential != "" {
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(h.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(h.t, err)
	if resp.StatusCode >= 400 || method == http.MethodGet {
		var head bytes.Buffer
		require.NoError(h.t, resp.Header.Write(&head))
		h.tell("answers", append(head.Bytes(), answer...))
	}
	return resp.StatusCode, answer
}

// keyFile plants the seeds in a key file that has no passphrase.
func (h *harbour) keyFile(whose, path string) {
	h.t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(h.t, err)
	var f struct {
		Primary, Next, Secret string
		Delegated             []string
	}
	require.NoError(h.t, json.Unmarshal(text, &f))
	for name, seed := range map[string]string{"primary": f.Primary, "next": f.Next, "secret": f.Secret} {
		h.plants.Encoded(whose+" "+name, seed)
	}
	for _, seed := range f.Delegated {
		h.plants.Encoded(whose+" delegated", seed)
	}
}

var jsonText = regexp.MustCompile(`"ticket": ?"([^"]+)"`)

// TestNothingTellsASecret: secrets are planted wherever there are any, the node
// goes through its main jobs, bad input and failures with logs at their loudest,
// is asked for everything that operators ask for, and made to dump its goroutines.
// None of the secrets is in logs, errors, answers, metrics, or the list of
// processes; and those that are to be hashed or sealed are in no database and no
// backup.
func TestNothingTellsASecret(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("needs signals that dump goroutines")
	}
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			h := &harbour{t: t, root: t.TempDir(), told: map[string][]byte{}, env: map[string]string{
				"LOGLINE_LOG_LEVEL": "debug", "LOGLINE_CONFIG_DIR": "config", "LOGLINE_DATA_DIR": "data",
			}}
			var dump func() []byte
			if kind == "postgres" {
				dump = h.onPostgres()
			} else {
				dump = h.onSQLite()
			}
			h.plantEnvironment(kind)
			h.mainJobs()
			h.badInput()
			h.operators()
			h.stop(syscall.SIGQUIT)
			require.Contains(t, string(h.told["the server's log"]), "SIGQUIT: quit", "it dumped its goroutines")
			h.failures()
			stored := dump()

			for who, text := range h.told {
				require.Empty(t, h.plants.Search(text), who)
				require.Empty(t, plant.Looks(text), who)
			}
			require.Contains(t, string(h.told["the server's log"]), `"level":"DEBUG"`)
			hidden := h.plants.Without("private content")
			require.Empty(t, hidden.Search(stored), "in the database")
			require.NotEmpty(t, h.plants.Search(stored), "the search finds what is in the database: payloads are as they are")
			require.Empty(t, hidden.Search(h.backup()), "in a backup")
		})
	}
}

// onSQLite is the database file and its log, as bytes.
func (h *harbour) onSQLite() (dump func() []byte) {
	return func() (all []byte) {
		require.NoError(h.t, filepath.WalkDir(filepath.Join(h.root, "data"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			all = append(all, text...)
			return err
		}))
		require.NotEmpty(h.t, all)
		return all
	}
}

// onPostgres sets a database with a password, and gives all rows as text.
func (h *harbour) onPostgres() (dump func() []byte) {
	db := pgtest.New(h.t)
	u, err := url.Parse(db.URL)
	require.NoError(h.t, err)
	u.User = url.UserPassword(u.User.Username(), h.planted("database password"))
	h.env["DATABASE_URL"] = u.String()
	return func() (all []byte) {
		ctx := h.t.Context()
		conn, err := pgx.Connect(ctx, db.AdminURL)
		require.NoError(h.t, err)
		defer conn.Close(ctx)
		rows, err := conn.Query(ctx, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'`)
		require.NoError(h.t, err)
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(h.t, err)
		require.NotEmpty(h.t, tables)
		for _, table := range tables {
			rows, err := conn.Query(ctx, `SELECT t::text FROM `+pgx.Identifier{table}.Sanitize()+` t`)
			require.NoError(h.t, err)
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(h.t, err)
			all = append(all, strings.Join(lines, "\n")...)
		}
		return all
	}
}

// plantEnvironment makes the node, first with its keys in a file, so that their
// seeds are known, and then with a master key, and takes the file away.
func (h *harbour) plantEnvironment(kind string) {
	h.env["LOGLINE_BOOTSTRAP_TOKEN"] = h.planted("bootstrap token")
	h.env["REDIS_URL"] = "redis://planted:" + h.planted("Redis password") + "@127.0.0.1:1/0" // where nobody listens
	h.env["LOGLINE_WEBHOOK_PROXY"] = "http://planted:" + h.planted("proxy password") + "@127.0.0.1:1"
	h.env["LOGLINE_PASSPHRASE"] = h.planted("passphrase")
	h.start()
	h.stop(syscall.SIGTERM)
	file := filepath.Join(h.root, "data", id.NodeKeyFile)
	h.keyFile("node's", file)

	master, err := id.NewMasterKey(rand.Reader)
	require.NoError(h.t, err)
	h.plants.Encoded("master key", master)
	if kind == "sqlite" {
		h.env["LOGLINE_MASTER_KEY"] = master
	} else {
		path := filepath.Join(h.root, "master.key")
		require.NoError(h.t, os.WriteFile(path, []byte(master+"\n"), 0o600))
		h.env["LOGLINE_MASTER_KEY_FILE"] = path
	}
	h.start()
	require.NoError(h.t, os.Remove(file))
}

// mainJobs does what a node is for, with everything that gives a secret out.
func (h *harbour) mainJobs() {
	h.must(false, "onboard", "acme", "--handle", "ana", "--name", "Ana Lima", "--no-passphrase")
	var tenant struct{ Tenant struct{ ID, Node string } }
	require.NoError(h.t, json.Unmarshal([]byte(h.must(false, "tenant", "show", "--json")), &tenant))
	require.NotEmpty(h.t, tenant.Tenant.ID)
	h.tenant, h.node = tenant.Tenant.ID, tenant.Tenant.Node
	content := filepath.Join(h.root, "payload.json")
	require.NoError(h.t, os.WriteFile(content, []byte(`{"text": "`+h.planted("private content")+`"}`), 0o600))
	h.must(true, "append", "--type", "note.written", "--payload", "@"+content, "--visibility", "private")
	h.must(false, "identity", "create", "--custody", "--subject", "agent", "--handle", "robot")
	for _, whose := range []string{"@robot", "@ana"} {
		key := strings.TrimSpace(h.must(true, "identity", "keys", "create", whose, "--label", "ci", "--right", "append", "--right", "read"))
		h.plants.Text("API key of "+whose, key)
		h.env["KEY "+whose] = key
	}
	for _, key := range []string{h.env["KEY @robot"], h.env["KEY @ana"]} {
		h.request("GET", "/v1/tenants/"+h.tenant, key, nil)
	}
	secret := strings.TrimSpace(h.must(true, "webhooks", "set", "desk", "https://example.org/hook/"+h.planted("path of a webhook")))
	h.plants.Text("webhook secret", secret)
	_, err := h.command(false, nil, "webhooks", "test", "desk")
	require.Error(h.t, err, "there is no proxy")
	h.must(false, "export", "acme.ndjson")
	h.must(false, "verify", "acme.ndjson")
	h.must(false, "identity", "create", "bo") // with a passphrase, unlike ana's, of which every use takes a second

	keys := newKeys(h.t)
	path := filepath.Join(h.root, "caller.key")
	require.NoError(h.t, id.SaveKeys(path, keys, ""))
	h.keyFile("caller's", path)
	require.NoError(h.t, os.Remove(path))
	body, err := json.Marshal(program.Registration(keys))
	require.NoError(h.t, err)
	status, answer := h.request("POST", "/v1/identities", "", body)
	require.Equal(h.t, http.StatusCreated, status, "%s", answer)
	token, err := id.SignToken(keys.Signer(), keys.ID(), h.node, time.Now(), time.Minute)
	require.NoError(h.t, err)
	h.plants.Text("token", token)
	h.request("GET", "/v1/identities/"+url.PathEscape(keys.ID())+"/keys", token, nil)
	status, answer = h.request("POST", "/v1/tenants/"+h.tenant+"/feed/tickets", h.env["KEY @ana"], nil)
	require.Equal(h.t, http.StatusCreated, status, "%s", answer)
	ticket := jsonText.FindSubmatch(answer)
	require.NotNil(h.t, ticket, "%s", answer)
	h.plants.Text("ticket", string(ticket[1]))
	for range 2 { // the second time it is spent
		h.request("GET", "/v1/tenants/"+h.tenant+"/feed?ticket="+url.QueryEscape(string(ticket[1]))+"&from=x", "", nil)
	}
	h.env["TOKEN"], h.env["TICKET"] = token, string(ticket[1])
}

// badInput puts secrets where they do not belong, and sends them wrongly.
func (h *harbour) badInput() {
	key, token := h.env["KEY @ana"], h.env["TOKEN"]
	misspelt := key[:len(key)-1] + map[bool]string{true: "b", false: "a"}[key[len(key)-1] == 'a']
	wrong := map[string]string{
		"misspelt key": misspelt, "cut key": key[:40], "cut token": token[:len(token)-10], "token of another": token + "AA", "bootstrap token": h.env["LOGLINE_BOOTSTRAP_TOKEN"],
		"no credential at all": h.planted("password as a credential"), "unknown bootstrap token": "llb_" + h.planted("wrong bootstrap token"),
	}
	h.plants.Text("misspelt API key", misspelt)
	secret := h.planted("content of a bad request")
	for name, credential := range wrong {
		for _, path := range []string{"/v1/tenants/" + h.tenant, "/v1/tenants/" + h.tenant + "/spans", "/v1/tenants", "/v1/identities", "/v1/nowhere", "/metrics"} {
			h.request("POST", path, credential, []byte(`{"text": "`+secret+`", "slug": "`+secret+`"`), "X-Request-Id", name, "Cookie", "session="+secret)
		}
		h.request("GET", "/v1/tenants/"+h.tenant+"/spans", credential, nil, "Proxy-Authorization", "Basic "+secret)
	}
	for _, body := range []string{`{"type": "` + secret + `"}`, `"` + secret + `"`, secret, `{"payload": {"` + secret + `": 1}, "unknown": "` + secret + `"}`, `{"events": ["` + secret + `"]}`} {
		for _, path := range []string{"/spans", "/feed/tickets", "/webhooks/desk", "/imports"} {
			h.request("POST", "/v1/tenants/"+h.tenant+path, key, []byte(body))
			h.request("PUT", "/v1/tenants/"+h.tenant+path, key, []byte(body))
		}
		h.request("POST", "/v1/identities", "", []byte(body))
	}
	h.request("GET", "/v1/tenants/"+h.tenant+"/feed?ticket="+h.planted("wrong ticket"), "", nil)
	h.request("GET", "/v1/tenants/"+h.tenant+"/feed?ticket="+h.env["TICKET"], key, nil)
	big := bytes.Repeat([]byte(secret), 2<<20/len(secret))
	h.request("POST", "/v1/tenants/"+h.tenant+"/spans", key, big)
}

// operators asks for what operators look at.
func (h *harbour) operators() {
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/v1/node", "/debug/pprof/", "/debug/vars"} {
		h.request("GET", path, h.env["KEY @ana"], nil)
	}
	h.must(false, "config", "print")
	h.must(false, "config", "print", "--json")
	h.must(false, "config", "check")
	h.must(false, "keys", "rotate-master", "--status")
	h.must(false, "identity", "keys", "list", "@ana", "--json")
	h.must(false, "identity", "list")
	h.must(false, "identity", "show")
	if runtime.GOOS == "linux" {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", h.server.Cmd.Process.Pid))
		require.NoError(h.t, err)
		h.tell("the list of processes", bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
	}
}

// failures runs commands, and servers, that cannot work.
func (h *harbour) failures() {
	password := h.planted("password of a database that is not there")
	for _, address := range []string{
		"postgres://u:" + password + "@127.0.0.1:1/d", "postgres://u:" + password + "@127.0.0.1:1/d?sslpassword=" + password, "postgres://u:" + password + "@:x/d", "mysql://u:" + password + "@h/d", "postgres:" + password,
	} {
		for _, args := range [][]string{{"serve"}, {"migrate", "status"}, {"backup", "x.backup"}, {"fsck"}, {"config", "print"}} {
			_, err := h.command(false, []string{"DATABASE_URL=" + address}, args...)
			require.True(h.t, err != nil || args[0] == "config")
		}
		_, err := h.command(false, nil, "migrate", "status", "--database-url", address)
		require.Error(h.t, err)
	}
	for name, value := range map[string]string{
		"LOGLINE_MASTER_KEY": h.planted("what is no master key"), "LOGLINE_BOOTSTRAP_TOKEN": h.planted("what is no bootstrap token") + "!",
		"LOGLINE_MASTER_KEY_PREVIOUS": h.planted("what is no earlier key"), "REDIS_URL": "http://u:" + h.planted("a Redis password") + "@h", "LOGLINE_WEBHOOK_PROXY": "socks://u:" + h.planted("a proxy password") + "@h",
	} {
		_, err := h.command(false, []string{name + "=" + value}, "serve")
		require.Error(h.t, err, name)
	}
	_, err := h.command(false, []string{"LOGLINE_PASSPHRASE=" + h.planted("wrong passphrase")}, "append", "--type", "note.written", "--payload", "{}", "--tenant", "acme", "--profile", "bo")
	require.Error(h.t, err)
	_, err = h.command(false, []string{"LOGLINE_MASTER_KEY_NEW=" + h.planted("what is no new key")}, "keys", "rotate-master")
	require.Error(h.t, err)
}

// backup is what an archive of the node holds.
func (h *harbour) backup() []byte {
	h.must(false, "backup", "node.backup")
	f, err := os.Open(filepath.Join(h.root, "node.backup"))
	require.NoError(h.t, err)
	defer f.Close()
	z, err := zstd.NewReader(f)
	require.NoError(h.t, err)
	defer z.Close()
	all, err := io.ReadAll(z)
	require.NoError(h.t, err)
	require.Contains(h.t, string(all), h.node)
	return all
}
