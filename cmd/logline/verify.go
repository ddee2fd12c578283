package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/policy"
	"github.com/danvoulez/logline/internal/ui"
)

// verifyFlags are those of verify, whatever is to be verified.
type verifyFlags struct {
	clientFlags
	pins
	live liveFlags

	maxAge    time.Duration // 0: any
	saveState string        // of bundles
	logKey    string        // of proof files
}

// pins say whom to believe, and what is known from before; "" where nothing.
type pins struct {
	node                                  string // LogLine ID
	checkpoint, policy, identities, state string // files
}

func newVerifyCmd(env *environment) *cobra.Command {
	var flags verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check a timeline: every hash, signature, key, role and proof; offline, or at a node without trusting it",
		Long: `Check a bundle without any server or network; "-" reads standard input. Every
line is checked, problems are named by line, and the exit code is 1 if there are any.

FILE may also be a proof file (C2SP tlog-proof), as logline proof writes it. The
log's key then comes from --log-key, from a log line of --policy, or from the profile
of that tenant; a quorum of witnesses in --policy is enough without it.

Without FILE the profile's tenant (or --tenant) is checked at its node, which is not
trusted: every entry is read and checked once. The last checkpoint is remembered
in the configuration folder, and a history that has shrunk or forked since is
reported with both checkpoints. An interrupted run goes on where it was;
--restart reads everything again, and still compares.

A bundle that is consistent may still be made up as a whole by somebody else.
Pin whom to believe: --node names the node, --checkpoint is a checkpoint file you
trust, --policy names the witnesses that must have cosigned the checkpoint, and
perhaps the logs to believe (C2SP tlog-policy):

  log VKEY [URL]
  witness NAME VKEY [URL]
  group NAME any|all|K MEMBER...
  quorum NAME|none

The checkpoint must then be by one of the logs, if there are any, and have valid
cosignatures (Ed25519, cosignature/v1) from the quorum. Without a log line the
witnesses alone pin it: they saw no other history of this timeline, whoever wrote it.

--max-age 24h asks that the quorum of --policy cosigned the checkpoint within that
time, by this machine's clock; without a quorum, that the last entry is not older,
by the node's own word. --compare FILE asks the node to show that a checkpoint which
somebody else was shown (their configuration folder has it, in seen/TENANT/checkpoint)
is of the same history: a node that shows different people different histories is
found out so.

--identities FILE compares the authors' key events with what you know of them: one
identity a line, {"events": [...]}, as GET /v1/identities/ID answers. For a bundle
that does not begin at 0, --state takes what an earlier run kept with --save-state.`,
		Example: `  logline verify timeline.ndjson
  logline verify timeline.ndjson --node logline-id://… --json
  logline verify timeline.ndjson --policy witnesses.policy
  logline export - | logline verify -
  logline verify 0199….tlog-proof --policy witnesses.policy
  logline verify --tenant acme
  logline verify --compare checkpoint-that-ana-was-shown`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.maxAge < 0 {
				return usagef("--max-age must be longer than nothing, such as 24h")
			}
			if len(args) == 0 {
				return flags.verifyNode(cmd, env)
			}
			return flags.verifyNamed(cmd, env, args[0])
		},
	}
	flags.pins.register(cmd)
	cmd.Flags().StringVar(&flags.logKey, "log-key", "", "for a proof file: the log's key to believe, a note verifier `VKEY`")
	cmd.Flags().StringVar(&flags.identities, "identities", "", "`FILE` with the key events of identities you know, one identity a line")
	cmd.Flags().StringVar(&flags.state, "state", "", "`FILE` an earlier run kept, for bundles that do not begin at 0")
	cmd.Flags().DurationVar(&flags.maxAge, "max-age", 0, "how old the newest sign of the checkpoint may be, such as 24h (0: any age)")
	cmd.Flags().StringVar(&flags.saveState, "save-state", "", "keep the state at the end in `FILE`, if all is well")
	flags.registerTenant(cmd)
	cmd.Flags().StringVar(&flags.live.compare, "compare", "", "at a node: `FILE` with a checkpoint that somebody else was shown")
	cmd.Flags().BoolVar(&flags.live.restart, "restart", false, "at a node: read and check everything again, and compare with what was seen")
	cmd.Flags().BoolVar(&flags.live.forget, "forget", false, "at a node: first forget what was seen, as after a restore that its operator announced")
	return cmd
}

// verifyNode verifies the profile's timeline at its node.
func (f *verifyFlags) verifyNode(cmd *cobra.Command, env *environment) error {
	if name := changed(cmd, "checkpoint", "state", "save-state"); name != "" {
		return usagef("--%s is for a bundle: name its FILE (a node's checkpoints and state are remembered by themselves)", name)
	}
	opt, err := f.options(env)
	if err != nil {
		return err
	}
	if f.logKey != "" {
		return usagef("--log-key is for a proof file: name it")
	}
	f.notBefore(&opt, env)
	return f.live.run(cmd.Context(), env, &f.clientFlags, opt)
}

// verifyNamed verifies a file: a bundle, or one entry's proof.
func (f *verifyFlags) verifyNamed(cmd *cobra.Command, env *environment, file string) error {
	if name := changed(cmd, "tenant", "url", "profile", "restart", "forget", "compare"); name != "" {
		return usagef("--%s is for verifying at a node; leave out %s, or the flag", name, ui.Clean(file))
	}
	opt, err := f.options(env)
	if err != nil {
		return err
	}
	raw, err := proofFileIn(env, file)
	if err != nil {
		return err
	}
	if raw != nil {
		if name := changed(cmd, "checkpoint", "identities", "state", "save-state", "max-age"); name != "" {
			return usagef("--%s is for a bundle, and %s is a proof file", name, ui.Clean(file))
		}
		return verifyProof(env, file, raw, proofOptions{logKey: f.logKey, policy: opt.Policy, node: opt.Node}, f.json)
	}
	if f.logKey != "" {
		return usagef("--log-key is for a proof file; a bundle carries its key: pin its --node")
	}
	f.notBefore(&opt, env)
	return f.verifyBundle(cmd, env, file, opt)
}

// notBefore makes a time of the age that a checkpoint may have.
func (f *verifyFlags) notBefore(opt *bundle.Options, env *environment) {
	if f.maxAge > 0 {
		opt.NotBefore = env.Now().Add(-f.maxAge)
	}
}

func (f *verifyFlags) verifyBundle(cmd *cobra.Command, env *environment, file string, opt bundle.Options) error {
	report, err := verifyFile(cmd.Context(), env, file, opt)
	if err != nil {
		return err
	}
	if f.saveState != "" && report.OK {
		if err := saveVerifyState(f.saveState, report); err != nil {
			return err
		}
	}
	if f.json {
		err = printJSON(env.Stdout, report)
	} else {
		printReport(env.Stdout, file, report)
	}
	if err == nil && !report.OK {
		err = &exitError{code: exitFailed}
	}
	return err
}

// changed is the first of these flags that was given, "" when none was.
func changed(cmd *cobra.Command, names ...string) string {
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			return name
		}
	}
	return ""
}

// Sizes of the side files of verify, in bytes.
const (
	maxCheckpointFile = 64 << 10
	maxIdentitiesFile = 256 << 20
	maxStateFile      = 1 << 30
)

// register adds the flags that name whom to believe.
func (p *pins) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.node, "node", "", "LogLine ID of the node to believe")
	cmd.Flags().StringVar(&p.checkpoint, "checkpoint", "", "`FILE` with a checkpoint to believe")
	cmd.Flags().StringVar(&p.policy, "policy", "", "`FILE` with the witnesses, and perhaps the logs, to believe")
}

// options reads the files.
func (p *pins) options(env *environment) (bundle.Options, error) {
	var opt bundle.Options
	if p.node != "" {
		if opt.Node = fullID(p.node); !span.IsIdentity(opt.Node) {
			return opt, usagef("--node %q is not a LogLine ID", ui.Clean(p.node))
		}
	}
	if p.checkpoint != "" {
		raw, err := readInput(env, p.checkpoint, maxCheckpointFile)
		if err != nil {
			return opt, err
		}
		opt.Checkpoint = raw
	}
	if p.policy != "" {
		raw, err := readInput(env, p.policy, policy.MaxSize)
		if err != nil {
			return opt, err
		}
		if opt.Policy, err = policy.Parse(raw); err != nil {
			return opt, err
		}
	}
	if p.identities != "" {
		raw, err := readInput(env, p.identities, maxIdentitiesFile)
		if err != nil {
			return opt, err
		}
		opt.Identities = bytes.NewReader(raw)
	}
	if p.state != "" {
		raw, err := readInput(env, p.state, maxStateFile)
		if err != nil {
			return opt, err
		}
		if opt.State, err = bundle.ReadState(bytes.NewReader(raw)); err != nil {
			return opt, err
		}
	}
	return opt, nil
}

// verifyFile verifies a file or, for "-", standard input.
func verifyFile(ctx context.Context, env *environment, path string, opt bundle.Options) (*bundle.Report, error) {
	var in io.Reader = env.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fileError("read", path, err)
		}
		defer f.Close()
		in = f
	}
	bar := newVerifyBar(env)
	opt.Progress = bar.update
	defer bar.Finish()
	defer frugal()()
	report, err := bundle.Verify(ctx, in, opt)
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return nil, fileError("read", path, err)
	}
	return report, err
}

// frugal has garbage collected sooner until what it returns is called. Most of
// what a verification remembers are span ids, which hold no pointers: collecting
// is cheap, and room for as much garbage again would be most of its memory.
func frugal() (restore func()) {
	const percent = 35
	before := debug.SetGCPercent(percent)
	return func() { debug.SetGCPercent(before) }
}

// verifyBar shows how far a verification has come.
type verifyBar struct {
	*ui.Bar
	now   func() time.Time
	begun time.Time
}

func newVerifyBar(env *environment) verifyBar {
	bar := ui.NewBar(env.Stderr, "Verifying", env.ErrIsTerm, terminalWidth(env.Stderr), env.Now)
	return verifyBar{bar, env.Now, env.Now()}
}

func (b verifyBar) update(done, total uint64) {
	b.Update(int64(done), int64(total), b.now().Sub(b.begun))
}

func saveVerifyState(path string, report *bundle.Report) error {
	return atomically(path, func(f *os.File) error { return report.State().Write(f) })
}

// printReport says what was found, the verdict last, where the eye is.
func printReport(w io.Writer, name string, r *bundle.Report) {
	printProblems(w, r, bundle.Problem.String)
	facts(w,
		"bundle", name,
		"tenant", tenantOf(r),
		"node", r.Node,
		"entries", fmt.Sprintf("%s, %d to %d of %d", ui.Count(int64(r.Entries)), r.From, r.To, r.Size),
		"checked", ui.Count(int64(r.Checked)),
		"not checked", notChecked(r),
		"root", r.Root,
		"cosigned", cosignedBy(r.Cosigned),
	)
	printAuthors(w, r)
	for _, note := range r.Notes {
		fmt.Fprintf(w, "\nnote: %s\n", ui.Clean(note))
	}
	verdict := "OK"
	if !r.OK {
		verdict = "BAD"
	}
	fmt.Fprintf(w, "\n%s: %s\n", verdict, r.Verdict)
}

// printProblems prints the first problems, each in the words that say where.
func printProblems(w io.Writer, r *bundle.Report, words func(bundle.Problem) string) {
	shown := r.Problems[:min(len(r.Problems), maxProblems)]
	for _, p := range shown {
		fmt.Fprintf(w, "%s\n", ui.Clean(words(p)))
	}
	if more := r.ProblemCount - len(shown); more > 0 {
		fmt.Fprintf(w, "and %s more; the first may have caused the rest\n", ui.Plural(int64(more), "problem", "problems"))
	}
	if len(r.Problems) > 0 {
		fmt.Fprintln(w)
	}
}

// tenantOf names the tenant of a report for people.
func tenantOf(r *bundle.Report) string {
	if r.Slug != "" {
		return r.Slug + "  " + r.Tenant
	}
	return r.Tenant
}

// printAuthors prints who signed, with the last key event that the timeline has.
func printAuthors(w io.Writer, r *bundle.Report) {
	if len(r.Authors) > 0 {
		fmt.Fprintln(w)
		table := ui.NewTable("AUTHOR", ">ENTRIES", "LAST KEY EVENT HERE")
		for i, a := range r.Authors {
			if i == maxAuthors {
				break
			}
			last := "not in this bundle"
			if a.LastEvent != nil {
				last = a.LastEvent.Kind + " of " + a.LastEvent.Time
			}
			table.Row(a.ID, ui.Count(int64(a.Entries)), last)
		}
		_ = table.Write(w, 0) // standard output: nothing could be said about it
		if more := len(r.Authors) - maxAuthors; more > 0 {
			fmt.Fprintf(w, "and %s more\n", ui.Plural(int64(more), "author", "authors"))
		}
	}
}

// How many problems and authors are shown; --json has more.
const (
	maxProblems = 10
	maxAuthors  = 10
)

// cosignedBy names the policy's witnesses that cosigned, and when; "" without a
// policy.
func cosignedBy(c *bundle.Cosigned) string {
	if c == nil {
		return ""
	}
	if len(c.By) == 0 {
		return "by no witness of the policy"
	}
	var words []string
	for i, by := range c.By {
		if i == maxAuthors {
			words = append(words, fmt.Sprintf("and %d more", len(c.By)-maxAuthors))
			break
		}
		words = append(words, by.Witness+" at "+by.Time)
	}
	return strings.Join(words, ", ")
}

func notChecked(r *bundle.Report) string {
	var words string
	add := func(n int, what string) {
		if n > 0 {
			if words != "" {
				words += ", "
			}
			words += ui.Count(int64(n)) + " " + what
		}
	}
	add(r.WithheldRedacted, "redacted")
	add(r.WithheldPrivate, "private")
	add(r.Hidden, "not for this reader")
	add(r.RightsUnchecked, "with rights from before this bundle")
	return words
}
