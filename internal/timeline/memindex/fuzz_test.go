package memindex_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memindex"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// nothing is content that nobody reads here.
type nothing struct{}

func (nothing) Read(*timeline.Record, bool) error { return nil }

func (nothing) Notes(int) ([]timeline.Note, error) { return nil, nil }

// FuzzDump: a dump that is taken answers everything without a panic, and is
// written again as itself.
func FuzzDump(f *testing.F) {
	x := memindex.New()
	tl := storetest.NewTimeline("a")
	for n := range 3 {
		b := tl.Batch(storetest.Spec{N: n, Tags: []string{"t", "u"}, Subject: "s", Causes: []string{storetest.ID(0)}, Refuses: storetest.ID(100 + n)})
		b.Embedded = []string{storetest.Identity("x")}
		x.Apply(b, nothing{}, func() {})
		tl.Done(b)
	}
	raw, err := x.Dump(tl.Tenant.ID, func() {})
	require.NoError(f, err)
	f.Add(raw)
	f.Add(raw[:len(raw)/2])
	f.Fuzz(func(t *testing.T, raw []byte) {
		x := memindex.New()
		p, err := x.Prepare(raw, nothing{})
		if err != nil {
			return
		}
		x.Enlist(p)
		tenant, head := p.Tenant()
		p.LastLeaf()
		records, err := x.Range(t.Context(), tenant.ID, 0, head.Size)
		require.NoError(t, err)
		require.LessOrEqual(t, uint64(len(records)), head.Size)
		_, err = x.Count(t.Context(), tenant.ID)
		require.NoError(t, err)
		require.NoError(t, x.Snapshot(t.Context(), func(s timeline.Snapshot) error {
			return s.Postings(t.Context(), tenant.ID, func(q timeline.Posting) error {
				require.Less(t, q.Seq, head.Size)
				return nil
			})
		}))
		again, err := x.Dump(tenant.ID, func() {})
		require.NoError(t, err)
		back, err := memindex.New().Prepare(again, nothing{})
		require.NoError(t, err)
		_, sameHead := back.Tenant()
		require.Equal(t, head, sameHead)
	})
}
