package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/systemtest/liar"
)

// reason is one row of the table in docs/verify.md: a lie, and why it is refused.
//
// Beside code, other problems may be found that follow from the lie: also.
type reason struct {
	told, code string
	also       []string
}

// allReasons are the rows of that table by its sections, as the tests have them.
func allReasons() map[string][]reason {
	sections := map[string][]reason{}
	for _, l := range operatorsLies() {
		sections["Entries and checkpoints"] = append(sections["Entries and checkpoints"], l.reason)
	}
	for _, l := range bundleLies() {
		sections["The bundle"] = append(sections["The bundle"], l.reason)
	}
	for _, l := range liveLies() {
		sections["The node"] = append(sections["The node"], l.reason)
	}
	for _, l := range readLies() {
		sections["Single answers"] = append(sections["Single answers"], l.reason)
	}
	for _, l := range decisionLies(nil) {
		sections["Decisions and contracts"] = append(sections["Decisions and contracts"], l.reason)
	}
	for _, l := range pinLies() {
		sections["Pins and witnesses"] = append(sections["Pins and witnesses"], l.reason)
	}
	return sections
}

// The table in docs/verify.md is the one that these tests hold the program to.
func TestDocsTellEveryLie(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/verify.md")
	require.NoError(t, err)
	for section, reasons := range allReasons() {
		var want strings.Builder
		for _, r := range reasons {
			fmt.Fprintf(&want, "| %s | `%s` |\n", r.told, r.code)
		}
		_, doc, found := strings.Cut(string(raw), "\n### "+section+"\n")
		require.True(t, found, "docs/verify.md has no section %s; it should have\n%s", section, want.String())
		_, table, found := strings.Cut(doc, "|---|---|\n")
		require.True(t, found, section)
		table, _, _ = strings.Cut(table, "\n\n")
		require.Equal(t, want.String(), table+"\n", section)
	}
}

// victim is somebody whose profile names a node that lies.
type victim struct {
	t   *testing.T
	l   *liar.Ledger
	s   *liar.Server
	dir string
}

// founded is when the timelines of these tests begin.
func founded() time.Time { return time.Now().Add(-time.Hour) }

// deceived is the ledger of an operator, with some entries of the owner's, and
// somebody who reads it there.
func deceived(t *testing.T, entries int) (*liar.Ledger, *victim) {
	t.Helper()
	l := liar.Found(t, 1, nil, founded())
	l.Grow(entries)
	return l, newVictim(t, l)
}

func newVictim(t *testing.T, l *liar.Ledger) *victim {
	t.Helper()
	v := &victim{t: t, l: l, s: liar.Serve(l), dir: t.TempDir()}
	keyFile := filepath.Join(v.dir, "owner.key")
	require.NoError(t, id.SaveKeys(keyFile, l.Owner, ""))
	all, err := loadProfiles(&environment{Getenv: v.getenv})
	require.NoError(t, err)
	require.NoError(t, all.put(profile{
		Name: "victim", URL: v.s.URL, Node: l.Node.ID(), Tenant: l.Genesis.Tenant, Slug: l.Genesis.Slug, LogKey: l.VerifierKey(),
		Identity: l.Owner.ID(), KeyFile: keyFile,
	}, true))
	return v
}

func (v *victim) getenv(name string) string {
	return map[string]string{"LOGLINE_CONFIG_DIR": v.dir, "LOGLINE_PATIENCE": patienceHere}[name]
}

func (v *victim) file(name string, content []byte) string {
	path := filepath.Join(v.dir, name)
	require.NoError(v.t, os.WriteFile(path, content, 0o600))
	return path
}

// remembered is the checkpoint that verify keeps.
func (v *victim) remembered() string {
	return filepath.Join(v.dir, "seen", v.l.Genesis.Tenant, "checkpoint")
}

// outcome is what a command came to.
type outcome struct {
	exit      int
	out, errs string
}

func (v *victim) run(args ...string) outcome {
	var stdout, stderr bytes.Buffer
	exit := run(v.t.Context(), args, stdio{strings.NewReader(""), &stdout, &stderr}, v.getenv)
	return outcome{exit, stdout.String(), stderr.String()}
}

// believes asks that a command finds nothing wrong.
func (v *victim) believes(args ...string) {
	v.t.Helper()
	o := v.run(args...)
	require.Equal(v.t, exitOK, o.exit, "%v: %s%s", args, o.out, o.errs)
}

var (
	coded  = regexp.MustCompile(`(?m)^(.*) \(([a-z0-9_]+)\)$`)
	placed = regexp.MustCompile(`\d|logline-id://|as a whole`)
)

// refuses asks that a command fails for this reason, says where or what, and is
// told from success and from a node that cannot be reached.
func (v *victim) refuses(r reason, args ...string) outcome {
	v.t.Helper()
	o := v.run(args...)
	require.Equal(v.t, exitFailed, o.exit, "%v: %s%s", args, o.out, o.errs)
	require.NotContains(v.t, o.out, "OK:")
	said := map[string]string{}
	for _, line := range coded.FindAllStringSubmatch(o.out+o.errs, -1) {
		said[line[2]] = line[1]
	}
	require.Contains(v.t, said, r.code, "%v: %s%s", args, o.out, o.errs)
	require.Subset(v.t, append(r.also, r.code), slices.Collect(maps.Keys(said)), "%v: %s%s", args, o.out, o.errs)
	for code, words := range said {
		require.Greater(v.t, len(words), 40, "the reason is a sentence: %s", words)
		if code != "checkpoint_invalid" { // what is no checkpoint is of no size
			require.Regexp(v.t, placed, words, "the reason says where")
		}
	}
	return o
}

// operatorsLie is what an operator writes into a timeline and signs.
type operatorsLie struct {
	reason
	act func(l *liar.Ledger)
}

// as adds a note by a key in an author's name.
func as(l *liar.Ledger, by id.Signer, author string) *span.Span {
	return l.Add(by, author, "note.written", []byte(`{}`), nil)
}

func (l operatorsLie) with(also ...string) operatorsLie { l.also = also; return l }
func (l bundleLie) with(also ...string) bundleLie       { l.also = also; return l }
func (l liveLie) with(also ...string) liveLie           { l.also = also; return l }

func operatorsLies() []operatorsLie {
	lie := func(told, code string, act func(l *liar.Ledger)) operatorsLie {
		return operatorsLie{reason{told: told, code: code}, act}
	}
	note := func(l *liar.Ledger, edit func(*span.Header, *span.Entry)) {
		l.Add(l.Owner.Signer(), l.Owner.ID(), "note.written", []byte(`{}`), edit)
	}
	return []operatorsLie{
		lie("an entry whose signature was made up", "signature_invalid", func(l *liar.Ledger) {
			note(l, nil)
			l.Resign(l.Size()-1, func(h *span.Header) { h.Signature.Value = span.B64(make([]byte, 64)) })
		}),
		lie("a header altered after it was signed", "signature_invalid", func(l *liar.Ledger) {
			note(l, nil)
			l.Resign(l.Size()-1, func(h *span.Header) { h.Title = "something else" })
		}),
		lie("an entry in somebody's name, signed by the node", "key_unknown", func(l *liar.Ledger) { as(l, l.Node.Signer(), l.Owner.ID()) }),
		lie("an entry by a key that was rotated away before", "key_rotated", func(l *liar.Ledger) {
			old := l.Owner.Signer()
			l.Embed(l.Rotate(l.Owner))
			as(l, old, l.Owner.ID())
		}),
		lie("an entry by an identity that was revoked before", "key_revoked", func(l *liar.Ledger) {
			ana := l.Enrol("member")
			key := ana.Signer()
			event, err := ana.Revoke("lost", l.Clock)
			if err != nil {
				panic(err)
			}
			l.Embed(event.Raw)
			as(l, key, ana.ID())
		}),
		lie("an entry by a delegated key that had expired", "key_expired", func(l *liar.Ledger) {
			as(l, l.Delegate(l.Owner, span.FormatTime(l.Clock.Add(time.Second)), "note.*"), l.Owner.ID())
		}),
		lie("an entry by a key that was delegated for other types", "key_type_not_delegated", func(l *liar.Ledger) {
			as(l, l.Delegate(l.Owner, "", "payment.*"), l.Owner.ID())
		}),
		lie("an author whose key events are not there", "author_unknown", func(l *liar.Ledger) {
			ana := l.Keys(id.SubjectPerson)
			as(l, ana.Signer(), ana.ID())
		}),
		lie("an author who holds no role", "not_a_member", func(l *liar.Ledger) {
			ana := l.Enrol()
			as(l, ana.Signer(), ana.ID())
		}),
		lie("an author whose roles do not let them append", "append_forbidden", func(l *liar.Ledger) {
			ana := l.Enrol("auditor")
			as(l, ana.Signer(), ana.ID())
		}),
		lie("a role granted by somebody who may not", "role_forbidden", func(l *liar.Ledger) {
			ana := l.Enrol("member")
			l.Member(ana, ana.ID(), "admin")
		}),
		lie("a redaction by somebody who may not", "role_forbidden", func(l *liar.Ledger) {
			s := l.Say("secret")
			ana := l.Enrol("member")
			l.Redact(ana, s)
		}).with("redaction_missing"),
		lie("a payload called redacted that no redaction names", "redaction_missing", func(l *liar.Ledger) {
			l.Withhold(l.Say("inconvenient"), span.WithheldRedacted)
		}),
		lie("payloads swapped between two spans", "payload_hash_mismatch", func(l *liar.Ledger) {
			a, b := l.Size(), l.Size()+1
			l.Say("yes")
			l.Say("no")
			x, y := &l.Entries[a], &l.Entries[b]
			x.Payload, x.Salt, y.Payload, y.Salt = y.Payload, y.Salt, x.Payload, x.Salt
		}),
		lie("another payload under the old hash", "payload_hash_mismatch", func(l *liar.Ledger) {
			l.Say("yes")
			l.Entries[l.Size()-1].Payload = []byte(`{"text":"no"}`)
		}),
		lie("a payload withheld that no later entry can do without", "payload_missing", func(l *liar.Ledger) {
			ana := l.Enrol("member")
			l.Withhold(l.Spans[l.Size()-1], span.WithheldRedacted)
			as(l, ana.Signer(), ana.ID())
		}).with("not_a_member"),
		lie("a clock that goes back", "recorded_at_decreases", func(l *liar.Ledger) {
			l.Clock = l.Clock.Add(-time.Minute)
			note(l, nil)
		}),
		lie("one span id recorded twice", "id_spent", func(l *liar.Ledger) {
			first := l.Say("once")
			note(l, func(h *span.Header, _ *span.Entry) { h.ID = first.ID })
		}),
		lie("a span of another tenant", "tenant_mismatch", func(l *liar.Ledger) {
			note(l, func(h *span.Header, _ *span.Entry) { h.Tenant = "00000000-0000-8000-8000-000000000000" })
		}),
		lie("a second genesis", "genesis_repeated", func(l *liar.Ledger) { l.ByNode(span.TypeGenesis, l.Genesis.Canonical()) }),
		lie("a reserved span by somebody else than the node", "reserved_author", func(l *liar.Ledger) {
			l.Add(l.Owner.Signer(), l.Owner.ID(), span.TypeEvidence, []byte(`{}`), nil)
		}),
		lie("a reserved type that there is not", "reserved_type_unknown", func(l *liar.Ledger) { l.ByNode("logline.nonsense", []byte(`{}`)) }),
		lie("a rotation to a key that was not committed to", "rotation_not_committed", func(l *liar.Ledger) {
			l.Embed(liar.StolenRotation(l, l.Owner))
		}),
		lie("a key chain forked: a second event after the same one", "event_unplaced", func(l *liar.Ledger) {
			forked := liar.StolenRotation(l, l.Owner)
			l.Embed(l.Rotate(l.Owner))
			l.Embed(forked)
		}),
		lie("a revert of a span that is not there", "target_unknown", func(l *liar.Ledger) {
			l.Add(l.Owner.Signer(), l.Owner.ID(), span.TypeRevert, fmt.Appendf(nil, `{"header_hash":%q,"reason":"x","span":%q}`,
				span.Sum(nil).String(), span.NewID(l.Clock, [10]byte{1})), nil)
		}),
		lie("an epoch that does not continue what is there", "epoch_root_mismatch", func(l *liar.Ledger) {
			l.BeginEpoch(span.Sum([]byte("another tree")))
		}),
		lie("an epoch begun without an entry", "epoch_mismatch", func(l *liar.Ledger) { l.Origin.Epoch++ }),
		lie("checkpoints by a key that the node has not delegated", "log_key_not_delegated", func(l *liar.Ledger) {
			l.Log = l.Keys(id.SubjectNode).Signer()
			l.LogKey = l.Log
		}).with("log_key_mismatch", "log_key_not_delegated"),
		lie("checkpoints by another key than the one named", "checkpoint_signature_invalid", func(l *liar.Ledger) {
			l.Log = l.Keys(id.SubjectNode).Signer()
		}),
		lie("checkpoints under another node's name", "origin_mismatch", func(l *liar.Ledger) {
			l.Origin.Node = l.Keys(id.SubjectNode).ID()
		}).with("node_not_pinned"),
		lie("a checkpoint whose root does not belong to its size", "root_mismatch", func(l *liar.Ledger) {
			l.Say("new")
			l.Said[l.Size()] = span.Sum([]byte("another tree"))
		}),
	}
}

// TestNoOperatorIsBelieved has an operator, who can sign anything, write each lie
// into a timeline, and shows it to whoever verifies: at the node, having verified
// what was before; as a bundle; and to a node that shall import it.
func TestNoOperatorIsBelieved(t *testing.T) {
	t.Parallel()
	importer := startSession(t)
	for _, lie := range operatorsLies() {
		t.Run(lie.told, func(t *testing.T) {
			t.Parallel()
			l, v := deceived(t, 3)
			v.believes("verify")
			honest := l.Bundle(0, l.Size())
			v.believes("verify", v.file("honest.ndjson", honest), "--node", l.Node.ID())

			lie.act(l)
			told := l.Bundle(0, l.Size())
			atNode, args := atNode(lie.reason)
			v.refuses(atNode, args...)
			v.refuses(lie.reason, "verify", v.file("told.ndjson", told), "--node", l.Node.ID())
			importer.refusesImport(t, lie.code, l.Genesis.Tenant, told)
		})
	}
}

// atNode is the reason at a node that showed an honest checkpoint before.
func atNode(r reason) (reason, []string) {
	args := []string{"verify"}
	switch r.told {
	case "checkpoints by a key that the node has not delegated":
		r.code = "checkpoint_signature_invalid" // the key is known by then
	case "a checkpoint whose root does not belong to its size":
		r.code = "history_forked"
	case "a revert of a span that is not there":
		args = append(args, "--restart") // ids from before are not remembered
	}
	return r, args
}

// refusesImport sends a bundle to the session's node, which must refuse it for
// this reason among others and take nothing.
func (s *session) refusesImport(t *testing.T, code, tenant string, told []byte) {
	t.Helper()
	_, _, err := s.client.ImportBundle(t.Context(), tenant, bytes.NewReader(told), client.ImportOptions{})
	var problem *client.Problem
	require.ErrorAs(t, err, &problem)
	require.Equal(t, "bundle_invalid", problem.Code)
	require.NotEmpty(t, problem.Fields)
	require.Contains(t, fmt.Sprint(problem.Fields), "("+code+")")
	_, err = s.client.Tenant(t.Context(), tenant)
	require.Error(t, err, "nothing of it was taken")
}

// bundleLie is told by whoever hands a bundle on, or by what is between.
type bundleLie struct {
	reason
	edit func(lines []string) []string // the header first; none ends with a newline
}

func bundleLies() []bundleLie {
	lie := func(told, code string, edit func(lines []string) []string) bundleLie {
		return bundleLie{reason{told: told, code: code}, edit}
	}
	change := func(i int, from, to string) func([]string) []string {
		return func(l []string) []string {
			i := (i + len(l)) % len(l)
			if !strings.Contains(l[i], from) {
				panic("there is no " + from + " in " + l[i])
			}
			l[i] = strings.Replace(l[i], from, to, 1)
			return l
		}
	}
	return []bundleLie{
		lie("the end cut off", "truncated", func(l []string) []string { return l[:len(l)-1] }),
		lie("an entry left out", "seq_skipped", func(l []string) []string { return append(l[:6:6], l[7:]...) }),
		lie("an entry twice", "seq_repeated", func(l []string) []string { return append(l[:7:7], l[6:]...) }),
		lie("two entries in the other order", "seq_skipped", func(l []string) []string { l[6], l[7] = l[7], l[6]; return l }).with("seq_repeated"),
		lie("an entry that says it is another", "seq_not_dense", change(6, `"seq":5`, `"seq":50`)),
		lie("another time of recording", "package_mismatch", func(l []string) []string {
			last := len(l) - 1
			l[last] = regexp.MustCompile(`"recorded_at":"2`).ReplaceAllString(l[last], `"recorded_at":"3`)
			return l
		}),
		lie("a payload left out without a word", "payload_missing", func(l []string) []string {
			last := len(l) - 1
			l[last] = regexp.MustCompile(`"payload":\{[^}]*\},`).ReplaceAllString(l[last], "")
			l[last] = regexp.MustCompile(`"salt":"[^"]*",`).ReplaceAllString(l[last], "")
			return l
		}),
		lie("JSON that is not in canonical form", "line_not_canonical", change(-1, `{"decision"`, `{ "decision"`)),
		lie("a member twice", "json_duplicate_member", change(-1, `"text":`, `"text":"no","text":`)),
		lie("a member that there is not", "member_unknown", change(-1, `"v":1}`, `"v":1,"verified":true}`)),
		lie("something that is no JSON", "json_syntax", func(l []string) []string { l[len(l)-1] = "trust me"; return l }),
		lie("an entry longer than any", "line_too_large", func(l []string) []string {
			l[len(l)-1] = strings.Repeat("x", 70<<20)
			return l
		}),
		lie("no end: more entries than the header announces", "lines_excessive", func(l []string) []string {
			for range 3000 {
				l = append(l, l[len(l)-1])
			}
			return l
		}).with("seq_repeated"),
		lie("a header that names another tenant's slug", "header_invalid", change(0, `"slug":"acme"`, `"slug":"bank"`)),
		lie("the node's key events left out", "node_events_invalid", func(l []string) []string {
			l[0] = regexp.MustCompile(`"events":\[.*\]\},"log_key"`).ReplaceAllString(l[0], `"events":[]},"log_key"`)
			return l
		}),
		lie("a note that is none in place of the checkpoint", "checkpoint_invalid", func(l []string) []string {
			l[0] = regexp.MustCompile(`"checkpoint":"[^"]*"`).ReplaceAllString(l[0], `"checkpoint":"all is well"`)
			return l
		}),
		lie("roots of packages that are not theirs", "packages_invalid", func(l []string) []string {
			l[0] = regexp.MustCompile(`"packages":\["...`).ReplaceAllString(l[0], `"packages":["AAA`)
			return l
		}),
	}
}

// TestNoAlteredBundleIsBelieved alters an honest node's bundle on its way.
func TestNoAlteredBundleIsBelieved(t *testing.T) {
	t.Parallel()
	importer := startSession(t)
	for _, lie := range bundleLies() {
		t.Run(lie.told, func(t *testing.T) {
			t.Parallel()
			l, v := deceived(t, 5)
			alter := func(honest []byte) []byte {
				lines := lie.edit(strings.Split(strings.TrimSuffix(string(honest), "\n"), "\n"))
				return []byte(strings.Join(lines, "\n") + "\n")
			}
			told := alter(l.Bundle(0, l.Size()))
			altered := liar.Rewrite("/bundle", alter)
			v.s.Tell(&altered)
			v.refuses(lie.reason, "verify")
			require.Positive(t, v.s.Told())
			v.refuses(lie.reason, "verify", v.file("told.ndjson", told), "--node", l.Node.ID())
			if len(told) < 64<<20 {
				importer.refusesImport(t, lie.code, l.Genesis.Tenant, told)
			}
			v.s.Tell(nil)
			v.believes("verify")
		})
	}
}

// A bundle may be made up as a whole. It is consistent, says that nothing says
// whose it is, and is refused by whoever pins whom to believe.
func TestAForgedBundleIsOnlyKnownByItsSigner(t *testing.T) {
	t.Parallel()
	honest, forged := liar.Found(t, 1, nil, founded()), liar.Found(t, 2, nil, founded())
	honest.Grow(3)
	forged.Grow(3)
	v := newVictim(t, honest)
	file := v.file("forged.ndjson", forged.Bundle(0, forged.Size()))
	o := v.run("verify", file)
	require.Equal(t, exitOK, o.exit)
	require.Contains(t, o.out, "OK: consistent; origin not authenticated")
	v.refuses(reason{code: "node_not_pinned"}, "verify", file, "--node", honest.Node.ID())
	v.refuses(reason{code: "checkpoint_not_pinned"}, "verify", file, "--checkpoint", v.file("pin", honest.Checkpoint(honest.Size())))
}
