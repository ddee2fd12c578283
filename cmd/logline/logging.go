package main

import (
	"io"
	"log/slog"

	"github.com/lmittmann/tint"
)

// newLogger makes the server's log: coloured lines for a person at a terminal,
// JSON for everything that collects logs. Format is auto, text or json; level
// is one that the configuration has checked.
func newLogger(w io.Writer, format, level string, terminal, colour bool) *slog.Logger {
	var threshold slog.Level
	if err := threshold.UnmarshalText([]byte(level)); err != nil {
		threshold = slog.LevelInfo
	}
	if format == "text" || format == "auto" && terminal {
		return slog.New(tint.NewTextHandler(w, &tint.Options{
			Level: threshold, TimeFormat: "15:04:05.000", NoColor: !terminal || !colour,
		}))
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: threshold}))
}
