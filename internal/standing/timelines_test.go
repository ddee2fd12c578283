package standing_test

import (
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

var update = flag.Bool("update", false, "write testdata/vectors/timelines.json")

const timelinesFile = "../../testdata/vectors/timelines.json"

// story is a timeline from its first entry, with spans between that are refused
// at their place, and what holds at its end.
type story struct {
	Story   string              `json:"story"`
	Entries []storyEntry        `json:"entries"`
	Node    string              `json:"node"`
	Epoch   uint64              `json:"epoch"`
	LogKey  string              `json:"log_key"`
	Members map[string][]string `json:"members"`
}

type storyEntry struct {
	Line    string          `json:"line"`
	Payload json.RawMessage `json:"payload"`
	Refused string          `json:"refused,omitempty"` // with this code
}

// TestVectorsTimelines folds every story of the vectors.
func TestVectorsTimelines(t *testing.T) {
	t.Parallel()
	if *update {
		text, err := json.MarshalIndent(stories(t), "", " ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(timelinesFile, append(text, '\n'), 0o644))
	}
	var all []story
	load(t, "timelines.json", &all)
	require.NotEmpty(t, all)
	for _, v := range all {
		w := &world{t: t, refs: map[string]standing.Ref{}}
		tx := standing.New(id.StdVerifier()).Begin()
		refused := 0
		for i, c := range v.Entries {
			e, err := span.ParseLine([]byte(c.Line))
			require.NoError(t, err)
			payload, err := span.Canonicalize(c.Payload)
			require.NoError(t, err)
			at := standing.Position{Seq: e.Seq, RecordedAt: e.RecordedAt}
			require.EqualValues(t, i-refused, e.Seq)
			if c.Refused != "" {
				refused++
				require.Equal(t, c.Refused, fault.CodeOf(tx.Check(&e.Span, payload, at, w.look)), "%s, %d", v.Story, i)
				continue
			}
			change, err := tx.Apply(e, payload, w.look)
			require.NoError(t, err, "%s, %d", v.Story, i)
			w.note(e, change)
		}
		require.NotZero(t, refused, v.Story)
		require.Equal(t, v.Node, tx.Node())
		epoch, _ := tx.Epoch()
		require.Equal(t, v.Epoch, epoch)
		require.Equal(t, v.LogKey, tx.LogKey())
		members := map[string][]string{}
		for _, m := range tx.Members() {
			members[m.Identity] = m.Roles
		}
		require.Equal(t, v.Members, members)
	}
}

// teller writes a story down while a world makes it.
type teller struct {
	*world
	story
}

func newTeller(t testing.TB, title string) *teller {
	w := founded(t)
	s := &teller{world: w, story: story{Story: title, Members: map[string][]string{}}}
	return s
}

// not is a span that is refused where the story is.
func (s *teller) not(sp *span.Span, code string) {
	s.catchUp()
	s.refused(sp, code)
	at := s.next()
	s.write(&span.Entry{Seq: at.Seq, RecordedAt: at.RecordedAt, Span: sp.Header, Decision: span.Decision{Outcome: span.OutcomeAllow}}, sp.Payload, code)
}

// catchUp writes what the world has made since.
func (s *teller) catchUp() {
	taken := 0
	for _, e := range s.Entries {
		if e.Refused == "" {
			taken++
		}
	}
	for _, a := range s.log[taken:] {
		s.write(a.entry, a.payload, "")
	}
}

func (s *teller) write(e *span.Entry, payload []byte, code string) {
	s.Entries = append(s.Entries, storyEntry{string(e.AppendLine(nil)), payload, code})
}

func (s *teller) end() story {
	s.catchUp()
	s.Node, s.LogKey = s.tx.Node(), s.tx.LogKey()
	s.Epoch, _ = s.tx.Epoch()
	for _, m := range s.tx.Members() {
		s.Members[m.Identity] = m.Roles
	}
	return s.story
}

func stories(t testing.TB) []story {
	return []story{handedOver(t), grantsThatWait(t)}
}

func handedOver(t testing.TB) story {
	s := newTeller(t, "a timeline that is handed over to another node")
	next := s.keys(id.SubjectNode)
	key := s.delegateLog(next)
	handover := func(to *id.Keys) *span.Span { return s.span(s.node, span.TypeHandover, object{"to": to.ID()}) }
	s.not(handover(next), "handover_target")
	s.not(handover(s.node), "handover_target")
	s.not(handover(s.owner), "handover_target")
	s.embed(next)
	s.not(s.span(s.owner, span.TypeHandover, object{"to": next.ID()}), "reserved_author")
	s.not(s.epoch(next, func(p object) { p["log_key"] = key }), "epoch_not_authorised")
	s.must(handover(next))
	s.not(s.span(s.owner, "a.b", object{}), "timeline_handed_over")
	s.not(s.event(s.keys(id.SubjectPerson).Events()[0]), "timeline_handed_over")
	s.not(s.epoch(s.node, nil), "epoch_not_authorised")
	s.not(s.epoch(next, nil), "epoch_log_key")
	s.not(s.epoch(next, func(p object) { p["log_key"], p["prev_size"] = key, 1 }), "epoch_size")
	s.not(s.epoch(next, func(p object) {
		p["log_key"], p["prev_origin"] = key, standing.Origin(s.tenant, next.ID(), 0)
	}), "epoch_origin")
	s.must(s.epoch(next, func(p object) { p["log_key"] = key }))
	old := s.node
	s.node = next
	s.embed(s.keys(id.SubjectPerson))
	s.must(s.span(s.owner, "a.b", object{}))
	s.not(s.span(old, "a.b", object{}), "not_a_member")
	s.not(s.span(old, span.TypeEvidence, object{}), "reserved_author")
	s.not(s.epoch(old, nil), "epoch_not_authorised")
	return s.end()
}

func grantsThatWait(t testing.TB) story {
	s := newTeller(t, "grants and withdrawals that wait for votes")
	admin, ana, bo := s.member("admin"), s.keys(id.SubjectPerson), s.member("member")
	s.embed(ana)
	asked := s.grant(s.owner, ana, "member")
	s.pending(asked)
	s.not(s.span(ana, "a.b", object{}), "not_a_member")
	s.must(s.resolve(asked, span.ResolutionExecuted))
	s.must(s.span(ana, "a.b", object{}))
	gone := s.withdraw(admin, bo, "member")
	s.pending(gone)
	s.must(s.span(bo, "a.b", object{}))
	s.must(s.resolve(gone, span.ResolutionRejected))
	s.must(s.span(bo, "a.b", object{}))
	late := s.withdraw(admin, bo, "member")
	s.pending(late)
	s.must(s.resolve(late, span.ResolutionExpired))
	s.must(s.span(bo, "a.b", object{}))
	again := s.withdraw(admin, bo, "member")
	s.pending(again)
	s.must(s.resolve(again, span.ResolutionExecuted))
	s.not(s.span(bo, "a.b", object{}), "not_a_member")
	return s.end()
}
