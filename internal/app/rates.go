package app

import (
	"time"

	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/ratelimit"
)

// Rate is how many requests and spans are taken, as settings write it.
type Rate struct {
	Address  string `mapstructure:"address"`
	Identity string `mapstructure:"identity"`
	Key      string `mapstructure:"key"`
	Tenant   string `mapstructure:"tenant"`
}

// usual is what auto means where others than this machine reach the server:
// generous, but a bound. The first is what two cores check signatures for.
var usual = quota.Rates{
	Address:  ratelimit.Limit{Rate: 4000, Burst: 40_000},
	Identity: ratelimit.Limit{Rate: 2000, Burst: 20_000},
	Key:      ratelimit.Limit{Rate: 2000, Burst: 20_000},
	Tenant:   ratelimit.Limit{Rate: 10_000, Burst: 100_000},
}

// rate is the limit that a setting means.
func (c Config) rate(key string) (ratelimit.Limit, error) {
	text, auto := "", ratelimit.Limit{}
	switch key {
	case "rate.address":
		text, auto = c.Rate.Address, usual.Address
	case "rate.identity":
		text, auto = c.Rate.Identity, usual.Identity
	case "rate.key":
		text, auto = c.Rate.Key, usual.Key
	case "rate.tenant":
		text, auto = c.Rate.Tenant, usual.Tenant
	}
	switch {
	case text != Auto:
		return ratelimit.Parse(text)
	case c.hereAlone():
		return ratelimit.Limit{}, nil
	}
	return auto, nil
}

func (c Config) rates() (r quota.Rates, err error) {
	for _, l := range []struct {
		key string
		to  *ratelimit.Limit
	}{{"rate.address", &r.Address}, {"rate.identity", &r.Identity}, {"rate.key", &r.Key}, {"rate.tenant", &r.Tenant}} {
		if *l.to, err = c.rate(l.key); err != nil {
			return r, err
		}
	}
	return r, nil
}

// newRates is where rates are counted: by all processes together where they share
// a Redis, else by each of them.
func (a *App) newRates() (ratelimit.Store, error) {
	memory := ratelimit.NewMemory(time.Now, ratelimit.DefaultBuckets)
	if a.cfg.RedisURL == "" {
		return memory, nil
	}
	shared, err := ratelimit.NewRedis(a.cfg.RedisURL, "logline:rate:"+a.node.ID()+":")
	if err != nil {
		return nil, err
	}
	store := ratelimit.NewFallback(shared, memory, a.log)
	a.rates = store
	return store, nil
}
