package app

import (
	"fmt"
	"log/slog"

	"github.com/spf13/pflag"
)

// Format implements fmt.Formatter: whatever prints a configuration prints URLs
// without what is secret in them; the other secrets mask themselves.
func (c Config) Format(f fmt.State, verb rune) {
	type plain Config // without this method
	fmt.Fprintf(f, fmt.FormatString(f, verb), plain(c.masked()))
}

// LogValue implements slog.LogValuer.
func (c Config) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%+v", c)) }

// masked is the configuration with URLs as they may be shown.
func (c Config) masked() Config {
	shown := map[string]*string{"database_url": &c.DatabaseURL, "redis_url": &c.RedisURL, "webhook.proxy": &c.Webhook.Proxy}
	for _, s := range settings {
		if at := shown[s.key]; at != nil {
			*at = s.shown(*at)
		}
	}
	return c
}

// Overheard is a warning for each flag that was given with a password in it,
// which everybody on the machine can read in the list of processes.
func Overheard(flags *pflag.FlagSet) (out []string) {
	for _, s := range settings {
		flag := flags.Lookup(s.flag())
		if !s.isURL || flag == nil || !flag.Changed {
			continue
		}
		if hasPassword(flag.Value.String()) {
			out = append(out, fmt.Sprintf("everybody on this machine can read the password in --%s (ps shows command lines); set %s instead", s.flag(), s.env()))
		}
	}
	return out
}
