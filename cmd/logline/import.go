package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/importer/remote"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newImportCmd(env *environment) *cobra.Command {
	return group("import", "Bring history from elsewhere: into the timeline as signed spans, or a whole timeline of another node", "",
		newImportGitCmd(env), newImportJSONLCmd(env), newImportMapsCmd(env), newImportBundleCmd(env))
}

func newImportGitCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var opt importer.GitOptions
	var visibility string
	var batch int
	cmd := &cobra.Command{
		Use:   "git [DIR]",
		Short: "Import the history of a git repository",
		Long: `Import every commit that HEAD of the repository at DIR (default: .) reaches,
oldest first. Each becomes a span that you sign on behalf of its author:

  type          git.commit, or git.merge with two parents or more
  subject       the commit's hash
  occurred_at   the commit's time
  causes        its parents
  on_behalf_of  an identity that stands for the author's e-mail address, and
                that the author can claim later; no address enters the timeline
  payload       commit, tree, parents and subject line

Running it again adds only what is new.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			if batch < 1 || batch > 5000 {
				return usagef("--batch must be 1 to 5000")
			}
			if err := checkVisibility(visibility); err != nil {
				return err
			}
			src, err := importer.OpenGit(cmd.Context(), dir, opt)
			if err != nil {
				return err
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			report, err := s.importFrom(cmd.Context(), src, importer.Config{Visibility: visibility, BatchSize: batch})
			if flags.json {
				if jsonErr := printJSON(env.Stdout, importJSON(report)); jsonErr != nil {
					return jsonErr
				}
			} else if err == nil || report.Done() > 0 {
				printImport(env, report)
			}
			if err != nil {
				return err
			}
			if report.Failed > 0 {
				return &exitError{code: exitFailed}
			}
			return nil
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringVar(&opt.Name, "source", "", "name of the source (default: git: and the first commit, the same for every clone)")
	cmd.Flags().BoolVar(&opt.AllowShallow, "allow-shallow", false, "import a shallow clone as a source of its own")
	cmd.Flags().StringVar(&visibility, "visibility", span.VisibilityOrganization, "private, organization or public")
	cmd.Flags().IntVar(&batch, "batch", 500, "spans per request")
	return cmd
}

// importFrom runs an import as the session's identity, showing progress.
func (s *session) importFrom(ctx context.Context, src importer.Source, cfg importer.Config) (importer.Report, error) {
	tenant, err := s.tenantID(ctx)
	if err == nil {
		_, err = s.client.Node(ctx) // the importer has patience with a node that goes away, which one that never came does not deserve
	}
	if err != nil {
		return importer.Report{Source: src.Name()}, err
	}
	bar := ui.NewBar(s.env.Stderr, "Importing", s.env.ErrIsTerm, terminalWidth(s.env.Stderr), s.env.Now)
	defer bar.Finish()
	cfg.Keys, cfg.Tenant, cfg.Now = s.keys, tenant, s.env.Now
	var mu sync.Mutex // guards bar and told
	var told time.Time
	cfg.Progress = func(p importer.Progress) {
		mu.Lock()
		defer mu.Unlock()
		bar.Update(p.Done(), p.Total, p.Elapsed)
	}
	cfg.Waiting = func(err error, _ time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if now := s.env.Now(); now.Sub(told) >= tellWaiting {
			told = now
			bar.Finish()
			fmt.Fprintf(s.env.Stderr, "Trying again, for some minutes: %s\n", fault.From(err).Detail)
		}
	}
	defer giveHeapRoom()()
	connections := http.DefaultTransport.(*http.Transport).Clone() // where nobody has put another in its place
	connections.MaxIdleConnsPerHost = importConnections
	defer connections.CloseIdleConnections()
	as := s.as(client.WithHTTPClient(&http.Client{Transport: connections}))
	return importer.New(remote.New(s.client, tenant, as), cfg).Run(ctx, src)
}

// importConnections is how many connections to the node wait for their next use:
// as many people as are registered at once.
const importConnections = 32

// tellWaiting is how often it is said that an import waits for its node.
const tellWaiting = 15 * time.Second

// as connects to the session's node with other keys.
func (s *session) as(options ...client.Option) func(*id.Keys) (*client.Client, error) {
	return func(keys *id.Keys) (*client.Client, error) { return dial(s.env, s.profile, keys, options...) }
}

// importJSON is the final object of --json.
func importJSON(r importer.Report) map[string]any {
	failures := r.Failures
	if failures == nil {
		failures = []importer.Failure{}
	}
	return map[string]any{
		"source": r.Source, "total": r.Total, "added": r.Added, "already": r.Already, "failed": r.Failed,
		"people": r.Ghosts, "causes": r.Edges, "causes_unresolved": r.Unresolved, "causes_left_out": r.Overflow,
		"seconds": r.Elapsed.Seconds(), "rate": r.Rate(), "failures": failures,
	}
}

// shownFailures is how many refused items are printed before the rest is counted.
const shownFailures = 10

func printImport(env *environment, r importer.Report) {
	out := env.Stdout
	fmt.Fprintf(out, "Imported %s\n", ui.Clean(r.Source))
	fmt.Fprintf(out, "  %s added, %s already there, %s failed, in %s (%s/s)\n",
		ui.Count(r.Added), ui.Count(r.Already), ui.Count(r.Failed), ui.Duration(r.Elapsed), ui.Count(int64(r.Rate())))
	fmt.Fprintf(out, "  %s, %s\n", ui.Plural(int64(r.Ghosts), "person", "people"), ui.Plural(r.Edges, "cause", "causes"))
	if r.Unresolved > 0 {
		fmt.Fprintf(out, "  %s left out: not in this source\n", ui.Plural(r.Unresolved, "cause", "causes"))
	}
	if r.Overflow > 0 {
		fmt.Fprintf(out, "  %s left out of headers, which hold 64; the payloads have them\n", ui.Plural(r.Overflow, "cause", "causes"))
	}
	for i, f := range r.Failures {
		if i == shownFailures {
			break
		}
		fmt.Fprintf(env.Stderr, "  failed: %s: %s (%s)\n", ui.Clean(f.SourceID), f.Detail, f.Code)
	}
	if r.Failed > shownFailures {
		fmt.Fprintf(env.Stderr, "  and %s more\n", ui.Count(r.Failed-shownFailures))
	}
}
