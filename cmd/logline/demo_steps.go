package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/importer/remote"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/ui"
)

// onboard makes the demo's identity, tenant and profile, or finds them again.
func (f *demoFlags) onboard(ctx context.Context, env *environment, url string) (*session, error) {
	dataDir, err := filepath.Abs(f.dataDir)
	if err != nil {
		return nil, fileError("use", f.dataDir, err)
	}
	p := profile{Name: demoName, URL: url, KeyFile: filepath.Join(dataDir, demoName+".key")}
	if !exists(p.KeyFile) && !exists(filepath.Join(dataDir, bootstrapToken)) {
		return nil, fault.Newf(fault.Conflict, "demo_data_taken",
			"%s belongs to a node that is in use for something else than this demo; choose another folder with --data-dir", f.dataDir)
	}
	keys, err := demoKeys(env, p.KeyFile, filepath.Join(f.dataDir, demoName+".key"))
	if err != nil {
		return nil, err
	}
	p.Identity = keys.ID()
	c, err := dial(env, p, keys)
	if err != nil {
		return nil, err
	}
	node, err := c.Node(ctx)
	if err != nil {
		return nil, err
	}
	p.Node = node.Id
	if _, _, err := c.Register(ctx, remote.Registration(keys, "", "Demo")); err != nil {
		return nil, err
	}
	tenant, err := c.Tenant(ctx, demoName)
	if err != nil {
		tenant, err = makeDemoTenant(ctx, c, keys, dataDir)
	}
	if err != nil {
		return nil, err
	}
	p.Tenant, p.Slug, p.LogKey = tenant.Id, tenant.Slug, tenant.LogKey
	all, err := loadProfiles(env)
	if err != nil {
		return nil, err
	}
	if err := all.put(p, false); err != nil {
		return nil, err
	}
	fmt.Fprintln(env.Stdout, "A LogLine node is running.")
	facts(env.Stdout, "  server", url, "  data", f.dataDir, "  node", node.Id, "  tenant", tenant.Slug+"  "+tenant.Id, "  identity", keys.ID())
	return &session{env: env, profile: p, all: all, keys: keys, client: c}, nil
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
func (f *demoFlags) importHistory(ctx context.Context, s *session, result *demoResult) error {
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
	result.Import = importJSON(report)
	printImport(s.env, report)
	if report.Added == 0 && report.Failed == 0 {
		fmt.Fprintln(s.env.Stdout, "  everything was there already: an import adds nothing twice")
	}
	if report.Failed > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

// export saves the timeline and verifies the file as a stranger would.
func (f *demoFlags) export(ctx context.Context, s *session, result *demoResult) error {
	out := s.env.Stdout
	result.File = filepath.Join(f.dataDir, demoName+"-timeline.ndjson")
	var size countingWriter
	err := atomically(result.File, func(file *os.File) error {
		return s.client.Bundle(ctx, s.profile.Tenant, countInto(file, &size), 0, 0)
	})
	if err != nil {
		return err
	}
	start := s.env.Now()
	report, err := verifyFile(ctx, s.env, result.File, bundle.Options{Node: s.profile.Node})
	if err != nil {
		return err
	}
	result.Verify = report
	fmt.Fprintf(out, "\nExported the timeline (%s bytes) and verified the file offline, in %s\n",
		ui.Count(int64(size)), ui.Duration(s.env.Now().Sub(start)))
	if !report.OK {
		printReport(s.env.Stderr, result.File, report)
		return &exitError{code: exitFailed}
	}
	verdict, _, _ := strings.Cut(report.Verdict, " (") // the node stands above
	facts(out, "  verdict", verdict, "  size", ui.Plural(int64(report.Size), "entry", "entries"), "  root", report.Root)
	fmt.Fprintf(out, "  checkpoint\n%s", indent(report.Checkpoint, "    "))
	return nil
}

// newestReceipt checks the receipt of the newest entry.
func (f *demoFlags) newestReceipt(ctx context.Context, s *session, result *demoResult) error {
	page, err := s.client.Query(ctx, s.profile.Tenant, client.Filter{Descending: true, Limit: 1})
	if err != nil {
		return err
	}
	if len(page.Items) == 0 {
		return fault.New(fault.Internal, "timeline_empty", "the timeline has no entry that its owner may read")
	}
	entry, err := parseEntry(page.Items[0])
	if err != nil {
		return err
	}
	checked, err := s.receipt(ctx, entry.Span.ID)
	if err != nil {
		return err
	}
	result.Receipt, result.newest = checked.json(), entry.Span.ID
	fmt.Fprintf(s.env.Stdout, "\nThe receipt of the newest entry: %s, %s\n", entry.Span.Type, ui.Cut(ui.Clean(entry.what()), 60))
	checked.print(s.env, "  ")
	return nil
}
