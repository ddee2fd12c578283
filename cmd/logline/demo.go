package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/importer/remote"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/ui"
)

// demoName is the demo's profile, tenant slug and key file.
const demoName = "demo"

// demoFlags are what can be changed about the demo.
type demoFlags struct {
	exit                  bool
	dataDir, listen, repo string
	chosen                bool // --listen was given
}

func newDemoCmd(env *environment) *cobra.Command {
	var f demoFlags
	defaults := app.Defaults()
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a node here, import this git repository's history and verify it",
		Long: `Start a node on an embedded database, with keys, a tenant and an identity of its
own; import the history of the git repository you stand in as signed spans;
export the whole timeline and verify it offline; then keep serving until Ctrl-C.

Running it again continues with the same data and adds only what is new.
Remove the data directory to begin anew.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.chosen = cmd.Flags().Changed("listen")
			return f.run(cmd.Context(), env)
		},
	}
	cmd.Flags().BoolVar(&f.exit, "exit", false, "stop when everything is verified")
	cmd.Flags().StringVar(&f.dataDir, "data-dir", defaults.DataDir, "where the node's keys and database are")
	cmd.Flags().StringVar(&f.listen, "listen", defaults.Listen, "address to serve on")
	cmd.Flags().StringVar(&f.repo, "repo", ".", "git repository to import")
	return cmd
}

func (f *demoFlags) run(ctx context.Context, env *environment) (err error) {
	cfg := app.Defaults()
	cfg.DataDir, cfg.Listen, cfg.LogLevel = f.dataDir, f.freeAddress(env), "error"
	// The demo's own end stops the server too, and waits for it.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	node, err := startNode(ctx, env, cfg)
	if err != nil {
		return err
	}
	defer func() {
		stop()
		if stopErr := node.wait(); err == nil {
			err = stopErr
		}
	}()
	s, tenant, err := f.onboard(ctx, env, node.URL())
	if err != nil {
		return node.reason(err)
	}
	fmt.Fprintln(env.Stdout)
	if err := f.importHistory(ctx, s); err != nil {
		return node.reason(err)
	}
	spanID, bundlePath, err := f.proveIt(ctx, s)
	if err != nil {
		return node.reason(err)
	}
	f.tellNext(env, s, tenant, spanID, bundlePath)
	if f.exit {
		return nil
	}
	node.waitForEnd(ctx)
	fmt.Fprintln(env.Stdout, "\nStopping.")
	return nil
}

// freeAddress is the address to listen on: the default one may be taken by
// something else, and then any free port will do.
func (f *demoFlags) freeAddress(env *environment) string {
	if f.chosen {
		return f.listen
	}
	l, err := net.Listen("tcp", f.listen)
	if err == nil {
		_ = l.Close() // only tried
		return f.listen
	}
	host, port, splitErr := net.SplitHostPort(f.listen)
	if splitErr != nil || !errors.Is(err, syscall.EADDRINUSE) {
		return f.listen // the server says what is wrong with it
	}
	fmt.Fprintf(env.Stdout, "Port %s is taken; using another one.\n", port)
	return net.JoinHostPort(host, "0")
}

// onboard makes the demo's identity, tenant and profile, or finds them again.
func (f *demoFlags) onboard(ctx context.Context, env *environment, url string) (*session, *client.Tenant, error) {
	dataDir, err := filepath.Abs(f.dataDir)
	if err != nil {
		return nil, nil, fileError("use", f.dataDir, err)
	}
	p := profile{Name: demoName, URL: url, KeyFile: filepath.Join(dataDir, demoName+".key")}
	if !exists(p.KeyFile) && !exists(filepath.Join(dataDir, bootstrapToken)) {
		return nil, nil, fault.Newf(fault.Conflict, "demo_data_taken",
			"%s belongs to a node that is in use for something else than this demo; choose another folder with --data-dir", f.dataDir)
	}
	keys, err := demoKeys(env, p.KeyFile, filepath.Join(f.dataDir, demoName+".key"))
	if err != nil {
		return nil, nil, err
	}
	p.Identity = keys.ID()
	c, err := dial(env, p, keys)
	if err != nil {
		return nil, nil, err
	}
	node, err := c.Node(ctx)
	if err != nil {
		return nil, nil, err
	}
	p.Node = node.Id
	if _, _, err := c.Register(ctx, remote.Registration(keys, "", "Demo")); err != nil {
		return nil, nil, err
	}
	tenant, err := c.Tenant(ctx, demoName)
	if err != nil {
		tenant, err = makeDemoTenant(ctx, c, keys, dataDir)
	}
	if err != nil {
		return nil, nil, err
	}
	p.Tenant, p.Slug, p.LogKey = tenant.Id, tenant.Slug, tenant.LogKey
	all, err := loadProfiles(env)
	if err != nil {
		return nil, nil, err
	}
	if err := all.put(p, false); err != nil {
		return nil, nil, err
	}
	fmt.Fprintln(env.Stdout, "A LogLine node is running.")
	facts(env.Stdout, "  server", url, "  data", f.dataDir, "  node", node.Id, "  tenant", tenant.Slug+"  "+tenant.Id, "  identity", keys.ID())
	return &session{env: env, profile: p, all: all, keys: keys, client: c}, tenant, nil
}

// demoKeys opens the demo's key file, or makes it, unprotected. shown is the
// path as it was given.
func demoKeys(env *environment, path, shown string) (*id.Keys, error) {
	if exists(path) {
		keys, _, err := loadKeys(env, path)
		return keys, err
	}
	keys, err := id.NewKeys("person", env.Now(), rand.Reader)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(env.Stderr, "Warning: %s has no passphrase; make keys for real work with `logline onboard`.\n", shown)
	return keys, id.SaveKeys(path, keys, "")
}

func makeDemoTenant(ctx context.Context, c *client.Client, keys *id.Keys, dataDir string) (*client.Tenant, error) {
	path := filepath.Join(dataDir, bootstrapToken)
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fileError("read", path, err)
	}
	return c.CreateTenant(ctx, strings.TrimSpace(string(raw)), client.NewTenant{
		Slug: demoName, Name: "Demo", Owner: keys.ID(), PublicReading: true,
	})
}

// importHistory imports the repository; where there is none, it says so and
// the demo goes on with what the timeline holds.
func (f *demoFlags) importHistory(ctx context.Context, s *session) error {
	src, err := importer.OpenGit(ctx, f.repo, importer.GitOptions{})
	if errors.Is(err, importer.ErrGitShallow) {
		fmt.Fprintln(s.env.Stdout, "This is a shallow clone: only the commits that are here are imported.")
		src, err = importer.OpenGit(ctx, f.repo, importer.GitOptions{AllowShallow: true})
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fmt.Fprintf(s.env.Stdout, "No history is imported: %s.\nRun the demo in a git repository, or name one with --repo.\n", fault.From(err).Detail)
		return nil
	}
	report, err := s.importFrom(ctx, src, importer.Config{})
	if err != nil {
		return err
	}
	printImport(s.env, report)
	if report.Added == 0 && report.Failed == 0 {
		fmt.Fprintln(s.env.Stdout, "  everything was there already: an import adds nothing twice")
	}
	if report.Failed > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

// proveIt exports the timeline, verifies the file as a stranger would, and
// checks the receipt of the newest entry.
func (f *demoFlags) proveIt(ctx context.Context, s *session) (spanID, path string, err error) {
	out := s.env.Stdout
	path = filepath.Join(f.dataDir, demoName+"-timeline.ndjson")
	var size countingWriter
	err = atomically(path, func(file *os.File) error {
		return s.client.Bundle(ctx, s.profile.Tenant, countInto(file, &size), 0, 0)
	})
	if err != nil {
		return "", "", err
	}
	start := s.env.Now()
	report, err := verifyFile(ctx, s.env, path, bundle.Options{Node: s.profile.Node})
	if err != nil {
		return "", "", err
	}
	fmt.Fprintf(out, "\nExported the timeline (%s bytes) and verified the file offline, in %s\n",
		ui.Count(int64(size)), ui.Duration(s.env.Now().Sub(start)))
	if !report.OK {
		printReport(out, path, report)
		return "", "", &exitError{code: exitFailed}
	}
	verdict, _, _ := strings.Cut(report.Verdict, " (") // the node stands above
	facts(out, "  verdict", verdict, "  size", ui.Plural(int64(report.Size), "entry", "entries"), "  root", report.Root)
	fmt.Fprintf(out, "  checkpoint\n%s", indent(report.Checkpoint, "    "))

	page, err := s.client.Query(ctx, s.profile.Tenant, client.Filter{Descending: true, Limit: 1})
	if err != nil {
		return "", "", err
	}
	if len(page.Items) == 0 {
		return "", "", fault.New(fault.Internal, "timeline_empty", "the timeline has no entry that its owner may read")
	}
	entry, err := parseEntry(page.Items[0])
	if err != nil {
		return "", "", err
	}
	checked, err := s.receipt(ctx, entry.Span.ID)
	if err != nil {
		return "", "", err
	}
	fmt.Fprintf(out, "\nThe receipt of the newest entry: %s, %s\n", entry.Span.Type, ui.Cut(ui.Clean(entry.what()), 60))
	checked.print(s.env, "  ")
	return entry.Span.ID, path, nil
}

// tellNext prints commands that work as they stand.
func (f *demoFlags) tellNext(env *environment, s *session, tenant *client.Tenant, spanID, bundlePath string) {
	logline := programName()
	if f.exit {
		fmt.Fprintln(env.Stdout, "\nTry next")
	} else {
		fmt.Fprintln(env.Stdout, "\nTry next, in another terminal")
	}
	lines := []string{}
	if !f.exit {
		profile := ""
		if s.all.Current != demoName {
			profile = " --profile " + demoName
		}
		lines = append(lines,
			logline+" list"+profile,
			logline+" why"+profile+" "+spanID,
			logline+" append"+profile+` --type note.written --payload '{"text": "hello"}'`,
			"curl "+s.profile.URL+"/v1/tenants/"+tenant.Id+"/checkpoint",
		)
	}
	lines = append(lines,
		logline+" verify "+bundlePath,
		`sed '$s/"time":"2/"time":"3/' `+bundlePath+" | "+logline+" verify -    # change one byte, be told which line",
	)
	for _, line := range lines {
		fmt.Fprintln(env.Stdout, "  "+line)
	}
	if f.exit {
		fmt.Fprintln(env.Stdout, "  "+logline+" demo    # the same again, and it keeps serving")
		return
	}
	fmt.Fprintf(env.Stdout, "\nServing on %s until Ctrl-C.\n", s.profile.URL)
}

// programName is what to type to run this program.
func programName() string {
	path, err := os.Executable()
	switch {
	case err != nil:
		return "logline"
	case strings.Contains(path, "go-build"):
		return "go run ./cmd/logline"
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
			return "./" + rel
		}
	}
	return "logline"
}

func indent(s, by string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(by + line)
	}
	return b.String()
}
