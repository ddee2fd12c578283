package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/ratelimit"
)

func TestRates(t *testing.T) {
	t.Parallel()
	load := func(env map[string]string) (quota.Rates, error) {
		cfg, _, err := Load(sources(t, "", env))
		if err != nil {
			return quota.Rates{}, err
		}
		return cfg.rates()
	}
	r, err := load(nil)
	require.NoError(t, err)
	require.Equal(t, quota.Rates{}, r, "nobody but this machine reaches the server")
	for _, listen := range []string{"0.0.0.0:8080", ":8080", "192.0.2.1:80"} {
		r, err = load(map[string]string{"LOGLINE_LISTEN": listen})
		require.NoError(t, err)
		require.Equal(t, usual, r, listen)
	}
	r, err = load(map[string]string{"PORT": "80", "LOGLINE_RATE_ADDRESS": "off", "LOGLINE_RATE_KEY": "5/s:7"})
	require.NoError(t, err)
	require.Equal(t, quota.Rates{Identity: usual.Identity, Key: ratelimit.Limit{Rate: 5, Burst: 7}, Tenant: usual.Tenant}, r)
	r, err = load(map[string]string{"LOGLINE_RATE_TENANT": "5/s"})
	require.NoError(t, err)
	require.Equal(t, quota.Rates{Tenant: ratelimit.Limit{Rate: 5, Burst: 50}}, r)
	_, err = load(map[string]string{"LOGLINE_RATE_ADDRESS": "fast"})
	require.ErrorContains(t, err, "rate.address")
	require.ErrorContains(t, err, "200/s")
}
