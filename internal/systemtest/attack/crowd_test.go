package attack

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

// Gained would be: that a victim cannot get rid of a stolen key, because tenants
// that it never joined hold it, and its events have to stand on each.
func TestARotationIsNotKeptFromAnybody(t *testing.T) {
	onEach(t, func(t *testing.T, s *scene) {
		payload, err := span.Canonical(span.Member{Identity: s.member.ID(), Roles: []string{"guest"}, Action: span.ActionGrant})
		require.NoError(t, err)
		crowd := 20
		if testing.Short() {
			crowd = 5
		}
		for i := range crowd {
			tenant := s.newTenant(s.mallory, fmt.Sprintf("evil-%d", i))
			s.append(s.seal(s.mallory, string(payload), in(tenant), typed(span.TypeMember))).want(t, http.StatusCreated)
		}
		stolen := s.member.Signer()
		before := s.seal(s.member, `{"n":1}`)
		event, err := s.member.Rotate(time.Now(), rand.Reader)
		require.NoError(t, err)
		began := time.Now()
		s.post("", "/v1/identities/"+bare(s.member)+"/events", []byte(event.Raw)).want(t, http.StatusCreated)
		require.Less(t, time.Since(began), 40*time.Second)
		t.Logf("a rotation in %d timelines took %s", crowd+1, time.Since(began))
		require.NotEqual(t, stolen.Public(), s.member.Signer().Public())
		require.Equal(t, http.StatusForbidden, s.append(before).status, "the stolen key still signs")
		s.record(s.member, `{"n":2}`)
	})
}
