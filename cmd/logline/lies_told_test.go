package main

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/systemtest/liar"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// patienceHere is long enough for any honest answer on a busy machine, and short
// enough to wait for.
const patienceHere = "20s"

// liveLie is told by a node to somebody who verified it before.
type liveLie struct {
	reason
	tell func(v *victim) (args []string) // of the command that must refuse it; nil: verify
}

// flip changes one hash of a JSON answer.
func flip(honest []byte) []byte {
	return regexp.MustCompile(`"hashes":\["....`).ReplaceAll(honest, []byte(`"hashes":["AAAA`))
}

// says is a lie that answers with these bytes whatever the question.
func says(at string, body []byte) *liar.Lie {
	l := liar.Rewrite(at, func([]byte) []byte { return body })
	return &l
}

func rewrites(at string, change func([]byte) []byte) *liar.Lie {
	l := liar.Rewrite(at, change)
	return &l
}

func replaces(at, from, to string) *liar.Lie {
	l := liar.Replace(at, from, to)
	return &l
}

func liveLies() []liveLie {
	lie := func(told, code string, tell func(v *victim) []string) liveLie {
		return liveLie{reason{told: told, code: code}, tell}
	}
	// onTheWire is a lie about a timeline that has grown since.
	onTheWire := func(told, code string, make func(v *victim) *liar.Lie) liveLie {
		return lie(told, code, func(v *victim) []string {
			v.l.Grow(2)
			v.s.Tell(make(v))
			return nil
		})
	}
	checkpoint := func(told, code string, change func(v *victim, note []byte) []byte) liveLie {
		return onTheWire(told, code, func(v *victim) *liar.Lie {
			return rewrites("/checkpoint", func(honest []byte) []byte { return change(v, honest) })
		})
	}
	return []liveLie{
		lie("a checkpoint of fewer entries than one shown before", "history_shrank", func(v *victim) []string {
			old := v.l.Fork(7)
			v.l.Grow(2)
			v.believes("verify")
			v.s.Show(old)
			return nil
		}),
		lie("another history of the same size than one shown before", "history_forked", func(v *victim) []string {
			fork := v.l.Fork(7)
			v.l.Say("yes")
			fork.Say("no")
			v.believes("verify")
			v.s.Show(fork)
			return nil
		}),
		lie("another history that has grown since", "history_forked", func(v *victim) []string {
			fork := v.l.Fork(7)
			v.l.Say("yes")
			fork.Say("no")
			fork.Grow(5)
			v.believes("verify")
			v.s.Show(fork)
			return nil
		}),
		lie("another history to somebody else (`--compare`)", "history_forked", func(v *victim) []string {
			fork := v.l.Fork(7)
			v.l.Grow(4)
			fork.Grow(2)
			other := newVictim(v.t, fork)
			other.believes("verify")
			v.believes("verify")
			return []string{"verify", "--compare", other.remembered()}
		}),
		lie("fewer entries than to somebody else (`--compare`)", "history_shrank", func(v *victim) []string {
			fork := v.l.Fork(7)
			fork.Grow(4)
			return []string{"verify", "--compare", v.file("theirs", fork.Checkpoint(fork.Size()))}
		}),
		lie("a checkpoint to compare with that nobody signed", "compare_unsigned", func(v *victim) []string {
			theirs := bytes.Clone(v.l.Checkpoint(v.l.Size()))
			if c := &theirs[len(theirs)-20]; *c != 'A' { // still base64
				*c = 'A'
			} else {
				*c = 'B'
			}
			return []string{"verify", "--compare", v.file("theirs", theirs)}
		}),
		onTheWire("a consistency proof of something else", "history_forked", func(*victim) *liar.Lie { return rewrites("/proofs/consistency", flip) }),
		onTheWire("a consistency proof without its hashes", "proof_withheld", func(v *victim) *liar.Lie {
			return says("/proofs/consistency", fmt.Appendf(nil, `{"from":%d,"to":%d,"hashes":[]}`, v.l.Size()-2, v.l.Size()))
		}),
		onTheWire("no consistency proof", "proof_withheld", func(*victim) *liar.Lie {
			return &liar.Lie{At: "/proofs/consistency", Tell: func(w http.ResponseWriter, _ *http.Request, _ []byte) {
				w.WriteHeader(http.StatusNotFound)
				_, _ = w.Write(liar.Problem(http.StatusNotFound, "tenant_unknown"))
			}}
		}),
		onTheWire("a consistency proof of what is no hash", "answer_unreadable", func(*victim) *liar.Lie {
			return replaces("/proofs/consistency", `"hashes":["`, `"hashes":["!`)
		}),
		onTheWire("a consistency proof with a member twice", "answer_unreadable", func(*victim) *liar.Lie {
			return replaces("/proofs/consistency", `"hashes":`, `"hashes":[],"hashes":`)
		}),
		checkpoint("a checkpoint signed by another key", "checkpoint_signature_invalid", func(v *victim, honest []byte) []byte {
			forger := *v.l
			forger.Log = v.l.Keys(id.SubjectNode).Signer()
			return forger.Resigned(honest, nil, v.l.Origin)
		}),
		checkpoint("a checkpoint with another size than was signed", "checkpoint_signature_invalid", func(_ *victim, honest []byte) []byte {
			return bytes.Replace(honest, []byte("\n10\n"), []byte("\n11\n"), 1)
		}),
		checkpoint("a checkpoint of another node", "origin_mismatch", func(v *victim, honest []byte) []byte {
			origin := v.l.Origin
			origin.Node = v.l.Keys(id.SubjectNode).ID()
			return v.l.Resigned(honest, nil, origin)
		}),
		checkpoint("a checkpoint of another tenant", "origin_mismatch", func(v *victim, honest []byte) []byte {
			origin := v.l.Origin
			origin.Tenant = "00000000-0000-8000-8000-000000000000"
			return v.l.Resigned(honest, nil, origin)
		}),
		lie("a checkpoint of an epoch that no entry began", "epoch_mismatch", func(v *victim) []string {
			v.l.Origin.Epoch++
			return nil
		}),
		checkpoint("a note that is none", "checkpoint_invalid", func(*victim, []byte) []byte { return []byte("<html>All 10 entries are well.</html>") }),
		lie("two histories in answer to two questions", "history_forked", func(v *victim) []string {
			fork := v.l.Fork(7)
			fork.Say("no")
			v.l.Say("yes")
			v.s.Tell(says("/checkpoint", fork.Checkpoint(fork.Size())))
			return []string{"verify", "--forget"}
		}),
		onTheWire("another part than was asked for", "answer_other_range", func(v *victim) *liar.Lie {
			return says("/bundle", v.l.Bundle(0, v.l.Size()))
		}),
		onTheWire("another tenant's entries", "answer_other_range", func(v *victim) *liar.Lie {
			other := liar.Found(v.t, 9, nil, founded())
			other.Grow(10)
			return says("/bundle", other.Bundle(v.l.Size()-2, v.l.Size()))
		}),
		lie("an old state, and nothing newer (`--max-age`)", "checkpoint_stale", func(v *victim) []string { return []string{"verify", "--max-age", "30m"} }),
		lie("a rotation withheld (`--identities`)", "identity_longer", func(v *victim) []string {
			v.l.Rotate(v.l.Owner)
			return []string{"verify", "--identities", v.identities(v.l.Owner.Events()...)}
		}),
		lie("another rotation than the true one (`--identities`)", "identity_conflict", func(v *victim) []string {
			events := v.l.Owner.Events()
			twin := v.twin() // the same keys, before the rotation
			v.l.Embed(v.l.Rotate(v.l.Owner))
			v.l.Clock = v.l.Clock.Add(time.Second)
			return []string{"verify", "--identities", v.identities(append(events, v.l.Rotate(twin))...)}
		}),
		onTheWire("entries without end", "lines_excessive", func(*victim) *liar.Lie {
			return &liar.Lie{At: "/bundle", Tell: func(w http.ResponseWriter, r *http.Request, honest []byte) {
				_, _ = w.Write(honest)
				last := honest[bytes.LastIndexByte(honest[:len(honest)-1], '\n')+1:]
				for r.Context().Err() == nil {
					_, _ = w.Write(last)
				}
			}}
		}).with("seq_repeated"),
		onTheWire("an answer without end", "answer_too_large", func(*victim) *liar.Lie {
			return &liar.Lie{At: "/checkpoint", Tell: func(w http.ResponseWriter, r *http.Request, honest []byte) {
				for r.Context().Err() == nil {
					_, _ = w.Write(honest)
				}
			}}
		}),
		onTheWire("an answer that unpacks to more than any answer has", "answer_too_large", func(v *victim) *liar.Lie {
			return &liar.Lie{At: "/proofs/consistency", Tell: func(w http.ResponseWriter, _ *http.Request, _ []byte) {
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				zeros := make([]byte, 1<<20)
				for range 4 << 10 {
					if _, err := z.Write(zeros); err != nil {
						return
					}
				}
			}}
		}),
		onTheWire("a redirect to another host", "redirect_refused", func(v *victim) *liar.Lie {
			return &liar.Lie{At: "/checkpoint", Tell: func(w http.ResponseWriter, r *http.Request, _ []byte) {
				http.Redirect(w, r, "http://node.example"+r.URL.Path, http.StatusTemporaryRedirect)
			}}
		}),
	}
}

// identities is a file of one identity's key events.
func (v *victim) identities(events ...[]byte) string {
	return v.file("identities.ndjson", fmt.Appendf(nil, `{"events":[%s]}`+"\n", bytes.Join(events, []byte(","))))
}

// twin are the owner's keys as the profile has them.
func (v *victim) twin() *id.Keys {
	keys, err := id.LoadKeys(filepath.Join(v.dir, "owner.key"), nil)
	require.NoError(v.t, err)
	return keys
}

// TestNoNodeIsBelieved has a node that was honest so far tell each lie. What was
// remembered stays good.
func TestNoNodeIsBelieved(t *testing.T) {
	t.Parallel()
	for _, lie := range liveLies() {
		t.Run(lie.told, func(t *testing.T) {
			t.Parallel()
			_, v := deceived(t, 3)
			v.believes("verify")
			args := lie.tell(v)
			if args == nil {
				args = []string{"verify"}
			}
			v.refuses(lie.reason, args...)
			if v.s.Told() > 0 && args[len(args)-1] != "--forget" {
				v.s.Tell(nil)
				v.believes("verify") // nothing of the lie was remembered
			}
		})
	}
}

// A fork of which each victim sees one side is consistent for both: nothing that
// one of them has tells it. The two remembered checkpoints do, at any size, and
// so does a witness, who cosigns one of them alone.
func TestAForkIsToldByTwoTogether(t *testing.T) {
	t.Parallel()
	l := liar.Found(t, 1, nil, founded())
	l.Grow(3)
	fork := l.Fork(2)
	l.Grow(2)
	fork.Grow(3)
	ana, bea := newVictim(t, l), newVictim(t, fork)
	for range 2 {
		ana.believes("verify")
		bea.believes("verify")
		l.Grow(1)
		fork.Grow(1)
	}
	for _, pair := range [][2]*victim{{ana, bea}, {bea, ana}} {
		o := pair[0].run("verify", "--compare", pair[1].remembered())
		require.Equal(t, exitFailed, o.exit, o.out)
		require.Contains(t, o.out, "What somebody else was shown:")
		require.Contains(t, o.out, "What the node shows now:")
		theirs, err := os.ReadFile(pair[1].remembered())
		require.NoError(t, err)
		require.Contains(t, o.out, string(theirs), "the evidence")
		require.NoError(t, (&noteOf{t, theirs}).parsed().Verify(l.VerifierKey()), "which the log signed")
	}
	cid := newVictim(t, l)
	cid.believes("verify")
	o := ana.run("verify", "--compare", cid.remembered())
	require.Equal(t, exitOK, o.exit, o.out+o.errs)
	require.Contains(t, o.out, "shown to somebody else; it is the same history")
}

type noteOf struct {
	t   *testing.T
	raw []byte
}

func (n *noteOf) parsed() *tree.Note {
	parsed, err := tree.ParseNote(n.raw)
	require.NoError(n.t, err)
	return parsed
}

// Silence is no lie that could be told from a node that is down: it ends, and as
// a node that cannot be reached.
func TestSilenceEnds(t *testing.T) {
	t.Parallel()
	_, v := deceived(t, 3)
	impatient := func(args ...string) outcome {
		var stdout, stderr bytes.Buffer
		exit := run(t.Context(), args, stdio{strings.NewReader(""), &stdout, &stderr}, func(name string) string {
			if name == "LOGLINE_PATIENCE" {
				return "300ms"
			}
			return v.getenv(name)
		})
		return outcome{exit, stdout.String(), stderr.String()}
	}
	for at, begun := range map[string]int{"/checkpoint": 0, "/bundle": 5000} {
		v.s.Tell(&liar.Lie{At: at, Tell: func(w http.ResponseWriter, r *http.Request, honest []byte) {
			_, _ = w.Write(honest[:begun])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}})
		o := impatient("verify")
		require.Equal(t, exitUnavailable, o.exit, o.out)
		require.Contains(t, o.errs, "(answer_stalled)")
	}
	v.s.Tell(&liar.Lie{At: "/bundle", Tell: func(w http.ResponseWriter, _ *http.Request, honest []byte) {
		w.Header().Set("Content-Length", fmt.Sprint(len(honest)))
		_, _ = w.Write(honest[:5000])
	}})
	o := v.run("verify")
	require.Equal(t, exitUnavailable, o.exit, o.out)
	require.Contains(t, o.errs, "(answer_broken_off)")
	v.s.Tell(nil)
	v.believes("verify")
}

// readLie is told in one answer.
type readLie struct {
	reason
	args func(v *victim) []string
	lie  func(v *victim) *liar.Lie
}

func readLies() []readLie {
	appended := func(v *victim) []string {
		return []string{"append", "--type", "note.written", "--payload", `{"text":"hello"}`, "--title", "A note"}
	}
	last := func(v *victim) string { return v.l.Spans[v.l.Size()-1].ID }
	show := func(v *victim) []string { return []string{"show", last(v)} }
	receipt := func(v *victim) []string { return []string{"show", last(v), "--receipt"} }
	proof := func(v *victim) []string { return []string{"proof", last(v), "-o", filepath.Join(v.dir, "proof")} }
	list := func(*victim) []string { return []string{"list"} }
	tail := func(*victim) []string { return []string{"tail", "--from", "beginning"} }
	always := func(l *liar.Lie) func(*victim) *liar.Lie { return func(*victim) *liar.Lie { return l } }
	proofFile := func(change func(v *victim, p *tree.ProofFile)) func(*victim) *liar.Lie {
		return func(v *victim) *liar.Lie {
			p := v.l.Proof(v.l.Size()-1, v.l.Size())
			change(v, p)
			return says("/receipt", p.Marshal())
		}
	}
	// feed tells entry 5 after entry 6, this many times.
	feed := func(after int) func(*victim) *liar.Lie {
		return always(rewrites("/feed", func(honest []byte) []byte {
			var out, five []byte
			for line := range bytes.Lines(honest) {
				switch {
				case bytes.Contains(line, []byte(`"seq":5,`)):
					five = line
				case bytes.Contains(line, []byte(`"seq":6,`)):
					out = append(append(out, line...), bytes.Repeat(five, after)...)
				default:
					out = append(out, line...)
				}
			}
			return out
		}))
	}
	row := func(told, code string, args func(v *victim) []string, lie func(v *victim) *liar.Lie, also ...string) readLie {
		return readLie{reason{told, code, also}, args, lie}
	}
	return []readLie{
		row("a receipt for another span", "receipt_other_span", receipt, func(v *victim) *liar.Lie {
			return rewrites("/receipt", func([]byte) []byte { return v.l.ReceiptJSON(2) })
		}),
		row("a receipt for another header than was signed", "receipt_other_header", appended, always(replaces("/spans", "A note", "A vote"))),
		row("a receipt whose entry is not the leaf", "receipt_leaf", appended, always(replaces("/spans", `"recorded_at":"2`, `"recorded_at":"3`))),
		row("a receipt whose entry is no canonical line", "receipt_line", appended, always(replaces("/spans", `"entry":{`, `"entry":{ `))),
		row("a receipt under a checkpoint that the log has not signed", "receipt_unsigned", appended, func(v *victim) *liar.Lie {
			return rewrites("/spans", func(honest []byte) []byte {
				return regexp.MustCompile(`(\\n\d+\\n)....`).ReplaceAll(honest, []byte("${1}AAAA"))
			})
		}),
		row("a receipt of another size than its checkpoint", "receipt_size", appended, always(rewrites("/spans", func(honest []byte) []byte {
			return regexp.MustCompile(`"size":\d+`).ReplaceAll(honest, []byte(`"size":99`))
		}))),
		row("a receipt with the proof of something else", "receipt_proof", appended, always(rewrites("/spans", flip))),
		row("a receipt without its proof", "receipt_proof_incomplete", appended, always(rewrites("/spans", func(honest []byte) []byte {
			return regexp.MustCompile(`"hashes":\[[^]]*\]`).ReplaceAll(honest, []byte(`"hashes":[]`))
		}))),
		row("a receipt with what is no proof", "receipt_proof_malformed", appended, always(replaces("/spans", `"hashes":["`, `"hashes":["!`))),
		row("a receipt with a member twice", "answer_unreadable", appended, always(replaces("/spans", `"checkpoint":`, `"checkpoint":"","checkpoint":`))),
		row("a proof file without the entry", "entry_missing", proof, proofFile(func(_ *victim, p *tree.ProofFile) { p.Extra = nil })),
		row("a proof file of another span", "receipt_other_span", proof, func(v *victim) *liar.Lie { return says("/receipt", v.l.Proof(3, v.l.Size()).Marshal()) }),
		row("a proof file of another place", "proof_invalid", proof, proofFile(func(v *victim, p *tree.ProofFile) { p.Index, p.Hashes = 5, v.l.Inclusion(5, v.l.Size()) }), "seq_mismatch"),
		row("a proof file with the proof of something else", "proof_invalid", proof, proofFile(func(_ *victim, p *tree.ProofFile) { p.Hashes[0] = span.Sum(nil) })),
		row("a proof file without its hashes", "proof_incomplete", proof, proofFile(func(_ *victim, p *tree.ProofFile) { p.Hashes = nil })),
		row("a proof file under another log's checkpoint", "checkpoint_signature_invalid", proof, proofFile(func(v *victim, p *tree.ProofFile) {
			forger := *v.l
			forger.Log = v.l.Keys(id.SubjectNode).Signer()
			p.Checkpoint = forger.Resigned(p.Checkpoint, nil, v.l.Origin)
		})),
		row("another entry than was asked for", "entry_other", show, func(v *victim) *liar.Lie {
			return rewrites("/"+last(v), func([]byte) []byte { return v.l.RecordJSON(2) })
		}),
		row("another title", "signature_invalid", show, func(v *victim) *liar.Lie {
			return replaces("/"+last(v), `"type":"note.written"`, `"title":"A vote","type":"note.written"`)
		}),
		row("another payload", "payload_hash_mismatch", show, func(v *victim) *liar.Lie { return replaces("/"+last(v), `note 2`, `note 3`) }),
		row("a payload left out of an entry without a word", "payload_missing", show, func(v *victim) *liar.Lie {
			return rewrites("/"+last(v), func(honest []byte) []byte {
				return regexp.MustCompile(`"payload":\{[^}]*\},`).ReplaceAll(honest, nil)
			})
		}),
		row("another payload in a list", "payload_hash_mismatch", list, always(replaces("/spans", `note 2`, `note 3`))),
		row("another author in a list", "signature_invalid", list, func(v *victim) *liar.Lie {
			return replaces("/spans", `"author":"`+v.l.Owner.ID(), `"author":"`+v.l.Node.ID())
		}),
		row("a feed that leaves an entry out", "feed_out_of_order", tail, feed(0)),
		row("a feed that tells an entry twice", "feed_out_of_order", tail, func(v *victim) *liar.Lie {
			return rewrites("/feed", func(honest []byte) []byte {
				again := fmt.Appendf(nil, `{"type":"entry","entry":%s,"status":"executed"}`, v.l.Opened(5))
				return regexp.MustCompile(`(?m)^.*"seq":6,.*$`).ReplaceAllLiteral(honest, again)
			})
		}),
		row("a feed in another order", "feed_out_of_order", tail, feed(1)),
		row("another payload in a feed", "payload_hash_mismatch", tail, always(replaces("/feed", `note 2`, `note 3`))),
		row("another author in a feed", "signature_invalid", tail, func(v *victim) *liar.Lie {
			return replaces("/feed", `"author":"`+v.l.Owner.ID(), `"author":"`+v.l.Node.ID())
		}),
		row("a message of a feed with a member twice", "feed_unreadable", tail, always(replaces("/feed", `"status":"executed"`, `"status":"executed","status":"reverted"`))),
		row("an answer that is another site's page", "answer_unreadable", show, func(v *victim) *liar.Lie { return says("/"+last(v), []byte("<html>404</html>")) }),
	}
}

// TestNoSingleAnswerIsBelieved tells each lie in one answer to a command.
func TestNoSingleAnswerIsBelieved(t *testing.T) {
	t.Parallel()
	for _, lie := range readLies() {
		t.Run(lie.told, func(t *testing.T) {
			t.Parallel()
			_, v := deceived(t, 3)
			args := lie.args(v)
			v.believes(args...)
			v.s.Tell(lie.lie(v))
			v.refuses(lie.reason, lie.args(v)...)
			require.Positive(t, v.s.Told())
		})
	}
}

// pinLie is found out by whoever says whom to believe.
type pinLie struct {
	reason
	args func(v *victim) []string
}

// witness is one that cosigns whatever it is shown.
type witness struct {
	vkey   string
	signer note.Signer
}

func newWitness(t testing.TB, name string) witness {
	secret, public, err := note.GenerateKey(rand.Reader, name)
	require.NoError(t, err)
	vkey, err := cosignature.VKeyToCosignatureV1(public)
	require.NoError(t, err)
	signer, err := cosignature.NewSignerForCosignatureV1(secret)
	require.NoError(t, err)
	return witness{vkey, signer}
}

// cosigned is a note with the witness's line.
func (w witness) cosigned(t testing.TB, raw []byte, vkey string) []byte {
	verifier, err := note.NewVerifier(vkey)
	require.NoError(t, err)
	opened, err := note.Open(raw, note.VerifierList(verifier))
	require.NoError(t, err)
	signed, err := note.Sign(opened, w.signer)
	require.NoError(t, err)
	return signed
}

func pinLies() []pinLie {
	row := func(told, code string, args func(v *victim) []string, also ...string) pinLie {
		return pinLie{reason{told, code, also}, args}
	}
	// file is the whole timeline under the checkpoint that change makes of the honest one.
	file := func(v *victim, change func(honest []byte) []byte) string {
		info := v.l.Info(0, v.l.Size())
		if change != nil {
			info.Checkpoint = change(info.Checkpoint)
		}
		return v.file("told.ndjson", v.l.BundleOf(info))
	}
	policy := func(v *victim, lines ...string) string {
		return v.file("policy", []byte(strings.Join(lines, "\n")+"\n"))
	}
	forged := func(v *victim) string {
		other := liar.Found(v.t, 5, nil, founded())
		other.Grow(3)
		return v.file("forged.ndjson", other.Bundle(0, other.Size()))
	}
	return []pinLie{
		row("a whole bundle forged (`--node`)", "node_not_pinned", func(v *victim) []string {
			return []string{"verify", forged(v), "--node", v.l.Node.ID()}
		}),
		row("a whole bundle forged (`--checkpoint`)", "checkpoint_not_pinned", func(v *victim) []string {
			return []string{"verify", forged(v), "--checkpoint", v.file("pin", v.l.Checkpoint(v.l.Size()))}
		}),
		row("a fork of what was pinned (`--checkpoint`)", "checkpoint_not_pinned", func(v *victim) []string {
			fork := v.l.Fork(7)
			v.l.Say("yes")
			fork.Say("no")
			return []string{"verify", file(v, nil), "--checkpoint", v.file("pin", fork.Checkpoint(fork.Size()))}
		}),
		row("a bundle of another log (`--policy`)", "log_not_in_policy", func(v *victim) []string {
			return []string{"verify", forged(v), "--policy", policy(v, "log "+v.l.VerifierKey(), "quorum none")}
		}),
		row("no cosignature by the policy's witnesses (`--policy`)", "cosignatures_missing", func(v *victim) []string {
			return []string{"verify", file(v, nil), "--policy", policy(v, "witness north "+newWitness(v.t, "north.example").vkey, "quorum north")}
		}),
		row("cosignatures by other witnesses (`--policy`)", "cosignatures_missing", func(v *victim) []string {
			stranger := newWitness(v.t, "north.example")
			told := file(v, func(honest []byte) []byte { return stranger.cosigned(v.t, honest, v.l.VerifierKey()) })
			return []string{"verify", told, "--policy", policy(v, "witness north "+newWitness(v.t, "north.example").vkey, "quorum north")}
		}),
		row("a cosignature of another checkpoint (`--policy`)", "cosignature_invalid", func(v *victim) []string {
			north := newWitness(v.t, "north.example")
			other := north.cosigned(v.t, v.l.Checkpoint(v.l.Size()-1), v.l.VerifierKey())
			line := other[bytes.LastIndex(other, []byte("— ")):]
			told := file(v, func(honest []byte) []byte { return append(bytes.Clone(honest), line...) })
			return []string{"verify", told, "--policy", policy(v, "witness north "+north.vkey, "quorum north")}
		}, "cosignatures_missing"),
		row("a checkpoint last cosigned too long ago (`--policy --max-age`)", "checkpoint_stale", func(v *victim) []string {
			north := newWitness(v.t, "north.example")
			told := file(v, func(honest []byte) []byte { return north.cosigned(v.t, honest, v.l.VerifierKey()) })
			pinned := []string{"verify", told, "--policy", policy(v, "witness north "+north.vkey, "quorum north")}
			v.believes(append(pinned, "--max-age", "24h")...)
			return append(pinned, "--max-age", "1ns")
		}),
		row("entries of an old state (`--max-age`)", "checkpoint_stale", func(v *victim) []string {
			return []string{"verify", file(v, nil), "--max-age", "30m"}
		}),
		row("no cosignatures at the node (`--policy`)", "cosignatures_missing", func(v *victim) []string {
			v.believes("verify") // nothing is new after that, and the policy holds all the same
			return []string{"verify", "--policy", policy(v, "witness north "+newWitness(v.t, "north.example").vkey, "quorum north")}
		}),
		row("another node than was pinned, with nothing new (`--node`)", "node_not_pinned", func(v *victim) []string {
			v.believes("verify")
			return []string{"verify", "--node", v.l.Keys(id.SubjectNode).ID()}
		}),
		row("a rotation withheld from a bundle (`--identities`)", "identity_longer", func(v *victim) []string {
			told := file(v, nil)
			v.l.Rotate(v.l.Owner)
			return []string{"verify", told, "--identities", v.identities(v.l.Owner.Events()...)}
		}),
		row("a proof file by a log that nobody names", "checkpoint_signature_invalid", func(v *victim) []string {
			other := liar.Found(v.t, 5, nil, founded())
			return []string{"verify", v.file("p.tlog-proof", other.Proof(2, other.Size()).Marshal()), "--log-key", v.l.VerifierKey()}
		}),
	}
}

// TestPinsAreHeld shows each to whoever says whom to believe.
func TestPinsAreHeld(t *testing.T) {
	t.Parallel()
	for _, lie := range pinLies() {
		t.Run(lie.told, func(t *testing.T) {
			t.Parallel()
			_, v := deceived(t, 3)
			v.refuses(lie.reason, lie.args(v)...)
		})
	}
}
