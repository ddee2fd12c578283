package contract_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules/contract"
)

func TestEverythingOfAContractIsKept(t *testing.T) {
	t.Parallel()
	c := compile(t, `/// What it is for.
contract all.of_it version "1.2.3-rc.1" {
  title: "All"
  description: "of it"
  tenant: "acme"
  tags: ["x", y]
  requires: ["base ^1.0"]
  import "other.lll" as other
  params {
    a: 2
    b: params.a * 3
    share: 80%
    list: [1, "two", 3d]
    nested: { inner: params.b + 1 }
    days: 2d
  }
  role finance "pays" { can: ["append"] }
  webhook inbox { timeout: 5s }
  quota "shared" { limit: params.b  per: 1h  key: actor.id  warn_at: 50% }
  "Everything is recorded"
  glossary { term: "meaning" }
  source: "a book"
  policy p {
    on: ["a.b", "c.**"]
    when data.x > params.nested.inner { reject "no" }
    when data.x > 1 { consume quota "shared" {} }
  }
  policy one { when data.y { tag "n-${params.a}" } }
  schedule weekly { cron: "*/15 0-6 1,15 jan-mar sun"  timezone: "Europe/Lisbon"  then { note "x" }  retry { max: 2  backoff: 1m } }
  retain "a.b" 1w
}
`, contract.Options{})
	assert.Equal(t, "1.2.3-rc.1", c.Version)
	assert.Equal(t, "What it is for.", c.Doc)
	assert.Equal(t, []string{"x", "y"}, c.Tags)
	assert.Equal(t, []contract.Requirement{{Name: "base", Range: "^1.0"}}, c.Requires)
	assert.Equal(t, []contract.Import{{Source: "other.lll", As: "other"}}, c.Imports)
	b, ok := c.Params["b"].Number()
	require.True(t, ok)
	assert.InDelta(t, 6, b, 0)
	inner, ok := c.Params["nested"].Member("inner")
	require.True(t, ok)
	assert.Equal(t, "7", inner.String())
	assert.Len(t, c.Params["list"].List(), 3)
	share, _ := c.Params["share"].Number()
	assert.InDelta(t, 0.8, share, 0)
	assert.Equal(t, "pays", c.Roles[0].About)
	assert.Equal(t, []string{"append"}, c.Roles[0].Can)
	assert.Equal(t, "inbox", c.Webhooks[0].Endpoint, "by its own name, where it says none")
	assert.Len(t, c.Data, 3)

	require.Len(t, c.Rules, 3)
	for i, want := range []string{"one", "p.1", "p.2"} {
		assert.Equal(t, want, c.Rules[i].Name)
	}
	assert.Equal(t, []string{"**"}, c.Rules[0].On)
	assert.Equal(t, []string{"a.b", "c.**"}, c.Rule("p.1").On)
	use, ok := c.Rule("p.2").Then[0].(*contract.QuotaAction)
	require.True(t, ok)
	assert.Equal(t, time.Hour, use.Per)
	assert.Equal(t, []float64{0.5}, use.WarnAt)
	assert.Equal(t, contract.Reject, c.Rule("p.2").OnError, "a quota may refuse")
	tag, ok := c.Rule("one").Then[0].(*contract.TagAction)
	require.True(t, ok)
	assert.Equal(t, "n-2", tag.Tag, "known when it is activated")
	assert.Equal(t, contract.Retry{Max: 2, Backoff: time.Minute}, c.Schedules[0].Retry)
	assert.Equal(t, 7*24*time.Hour, c.Retains[0].For)
}

func TestParametersKnowThoseBeforeThem(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		inContract(`params { a: params.b  b: 1 }`),
		inContract(`params { a: data.x }`),
		inContract(`params { a: 1`, `a: 2 }`),
		inContract(`params { a: 1 / 0 }`),
		inContract(`params { a: null }`),
	} {
		assert.NotEmpty(t, diagnose(t, source, contract.Options{}), source)
	}
}
