package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/danvoulez/logline/internal/fault"
)

// FileName is the configuration file that is read where it exists in the
// working directory.
const FileName = "logline.yaml"

// Sources is where a configuration is read from. The zero value reads nothing
// but defaults.
type Sources struct {
	Flags  *pflag.FlagSet      // made with AddFlags and parsed; nil: none
	Getenv func(string) string // nil: no environment
	Dir    string              // directory of FileName; "": no file but the one named by --config or LOGLINE_CONFIG
}

// Value is one setting as it came out.
type Value struct {
	Key    string `json:"key"`
	Value  string `json:"value"`  // as it may be printed
	Origin string `json:"origin"` // "default", "file logline.yaml", "environment PORT", "flag --listen"
}

// Load reads the configuration, flag > environment > file > default, and
// checks it. The values come back also when the check fails, with every fault
// in one error (config_invalid) that names key, origin and remedy.
func Load(src Sources) (Config, []Value, error) {
	l := &loader{src: src, viper: viper.New()}
	if err := l.readFile(); err != nil {
		return Config{}, nil, err
	}
	var cfg Config
	values := make([]Value, 0, len(settings))
	var wrong []fault.Field
	for _, s := range settings {
		value, origin := l.find(s)
		values = append(values, Value{Key: s.key, Value: s.shown(value), Origin: origin})
		reason := ""
		if err := decode(s.key, value, &cfg); err != nil {
			reason = "cannot be read: " + shortReason(err, s, value)
		} else {
			reason = cfg.check(s.key)
		}
		if reason != "" {
			wrong = append(wrong, fault.Field{Pointer: s.key, Detail: fmt.Sprintf("%s (from %s)", reason, origin)})
		}
	}
	for _, key := range l.unknown() {
		wrong = append(wrong, fault.Field{Pointer: key, Detail: fmt.Sprintf("no such setting (from file %s); `logline config print` shows all", l.file)})
	}
	switch len(wrong) {
	case 0:
		return cfg, values, nil
	case 1: // one line says it all
		return cfg, values, fault.Newf(fault.Invalid, "config_invalid", "%s: %s", wrong[0].Pointer, wrong[0].Detail)
	}
	bad := fault.Newf(fault.Invalid, "config_invalid", "the configuration has %d faults", len(wrong))
	bad.Fields = wrong
	return cfg, values, bad
}

// Defaults is the configuration with nothing set.
func Defaults() Config {
	cfg, _, err := Load(Sources{})
	if err != nil {
		return Config{} // unreachable: a test loads the defaults
	}
	return cfg
}

type loader struct {
	src   Sources
	viper *viper.Viper // defaults and file
	file  string       // path read, "" for none
}

func (l *loader) getenv(name string) string {
	if l.src.Getenv == nil {
		return ""
	}
	return l.src.Getenv(name)
}

func (l *loader) readFile() error {
	path, named := l.getenv("LOGLINE_CONFIG"), true
	if flag := l.changed("config"); flag != nil {
		path = flag.Value.String()
	}
	if path == "" {
		if l.src.Dir == "" {
			return nil
		}
		path, named = filepath.Join(l.src.Dir, FileName), false
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !named {
		return nil
	}
	l.file = path
	l.viper.SetConfigFile(path)
	l.viper.SetConfigType("yaml")
	if err := l.viper.ReadInConfig(); err != nil {
		return fault.Newf(fault.Invalid, "config_unreadable", "the configuration file %s cannot be read as YAML", path).Because(err)
	}
	return nil
}

// find is a setting's value and where it comes from.
func (l *loader) find(s setting) (value any, origin string) {
	if flag := l.changed(s.flag()); flag != nil && !s.secret {
		return flag.Value.String(), "flag --" + s.flag()
	}
	for _, name := range append([]string{s.env()}, s.also...) {
		if text := l.getenv(name); text != "" {
			if name == "PORT" {
				text = "0.0.0.0:" + text
			}
			return text, "environment " + name
		}
	}
	if l.viper.InConfig(s.key) || l.viper.IsSet(s.key) {
		return l.viper.Get(s.key), "file " + l.file
	}
	return s.value, "default"
}

func (l *loader) changed(name string) *pflag.Flag {
	if l.src.Flags == nil {
		return nil
	}
	if flag := l.src.Flags.Lookup(name); flag != nil && flag.Changed {
		return flag
	}
	return nil
}

// unknown is the keys of the file that are no settings.
func (l *loader) unknown() []string {
	known := make(map[string]bool, len(settings))
	for _, s := range settings {
		known[s.key] = true
	}
	var out []string
	for _, key := range l.viper.AllKeys() {
		if !known[key] {
			out = append(out, key)
		}
	}
	return out
}

// decode puts one value into its field.
func decode(key string, value any, cfg *Config) error {
	one := viper.New()
	one.Set(key, value)
	return one.UnmarshalExact(cfg, viper.DecodeHook(mapstructure.ComposeDecodeHookFunc(
		mapstructure.StringToTimeDurationHookFunc(), mapstructure.StringToSliceHookFunc(","), mapstructure.TextUnmarshallerHookFunc())))
}

// shortReason says what kind of value was expected, and keeps secrets out.
func shortReason(err error, s setting, value any) string {
	if s.secret || s.isURL {
		return "it must be text"
	}
	// The decoder tells its reasons in words alone.
	text := err.Error()
	switch {
	case strings.Contains(text, "cannot parse value as 'int'"):
		return fmt.Sprintf("%q is not a whole number", fmt.Sprint(value))
	case strings.Contains(text, "duration"):
		return "it must be a duration such as 30s, 5m or 168h"
	default:
		return "it has the wrong type"
	}
}
