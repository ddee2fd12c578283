package attack

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

// Gained would be: the node's time and memory by a graph of causes that is
// larger than anybody could write down, or something about entries of others by
// naming them as causes.
func TestGiantGraphsOfCauses(t *testing.T) {
	onEach(t, func(t *testing.T, s *scene) {
		// Layers, each entry caused by all of the layer before: 64 ways at each of
		// 12 steps, which is more ways than there are grains of sand.
		const layers, wide = 12, 64
		var before []string
		for range layers {
			var lines bytes.Buffer
			var layer []string
			for range wide {
				raw := s.seal(s.member, `{}`, causedBy(before...))
				layer = append(layer, idOf(t, raw))
				lines.Write(raw)
				lines.WriteByte('\n')
			}
			s.do(http.MethodPost, "", s.at("/spans"), "application/x-ndjson", lines.Bytes()).want(t, http.StatusOK)
			before = layer
		}
		memory, began := s.resident(t), time.Now()
		var g struct {
			Nodes      []struct{ ID string }
			Edges      []struct{ From, To string }
			Unresolved []string
		}
		r := s.get(s.token(s.member), s.at("/spans/"+before[0]+"/causes?depth=64")).want(t, http.StatusOK)
		r.decode(t, &g)
		require.Len(t, g.Nodes, 1+(layers-1)*wide, "each once")
		require.Less(t, len(r.body), 16<<20)
		require.Less(t, time.Since(began), 20*time.Second)
		require.Less(t, s.resident(t)-memory, int64(200<<20), "bytes of memory")

		// A circle, which ids of the author's choice make possible, is walked once.
		a, b := s.seal(s.member, `{}`), s.seal(s.member, `{}`)
		for from, to := range map[string]string{idOf(t, a): idOf(t, b), idOf(t, b): idOf(t, a)} {
			s.append(s.seal(s.member, `{}`, named(from), causedBy(to))).want(t, http.StatusCreated)
		}
		self, _ := span.RandomID(time.Now(), bytes.NewReader(make([]byte, 64)))
		r = s.append(s.seal(s.member, `{}`, named(self), causedBy(self)))
		require.Contains(t, []int{http.StatusCreated, http.StatusBadRequest}, r.status)
		for _, way := range []string{"causes", "effects"} {
			s.get(s.token(s.member), s.at("/spans/"+idOf(t, a)+"/"+way+"?depth=64")).want(t, http.StatusOK).decode(t, &g)
			require.LessOrEqual(t, len(g.Nodes), 3, way)
		}

		// What is named as a cause is not told of: a private entry of the victim's is
		// as unresolved as one that is not there, in this tenant and in another.
		nothing, _ := span.RandomID(time.Now(), bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
		mine := s.record(s.member, `{}`, causedBy(s.private, nothing))
		r = s.get(s.token(s.member), s.at("/spans/"+mine+"/causes?depth=64")).want(t, http.StatusOK)
		r.decode(t, &g)
		require.ElementsMatch(t, []string{s.private, nothing}, g.Unresolved)
		require.NotContains(t, string(r.body), s.owner.ID())
		theirs := s.record(s.mallory, `{}`, in(s.evil), causedBy(s.private, s.organization, nothing))
		evil := s.token(s.mallory)
		r = s.get(evil, fmt.Sprintf("/v1/tenants/%s/spans/%s/causes?depth=64", s.evil.Id, theirs)).want(t, http.StatusOK)
		r.decode(t, &g)
		require.ElementsMatch(t, []string{s.private, s.organization, nothing}, g.Unresolved)
		require.NotContains(t, string(r.body), s.owner.ID())
		// And the victim's graph does not grow by it.
		r = s.get(s.token(s.owner), s.at("/spans/"+s.organization+"/effects?depth=64")).want(t, http.StatusOK)
		require.NotContains(t, string(r.body), theirs)
	})
}
