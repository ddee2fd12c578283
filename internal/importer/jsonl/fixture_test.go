package jsonl

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/importer"
)

// sourceOf is a source of an input held in memory, its rejects in the list.
func sourceOf(m *Map, input []byte, maxLine int, rejects *[]Reject) *Source {
	return New(m, Config{
		Open:    func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(input)), nil },
		MaxLine: maxLine,
		Reject:  func(r Reject) error { *rejects = append(*rejects, r); return nil },
	})
}

// importLines gives what a map makes of some lines.
func importLines(t testing.TB, m *Map, lines ...[]byte) ([]importer.Item, []Reject) {
	t.Helper()
	var items []importer.Item
	var rejects []Reject
	for item, err := range sourceOf(m, bytes.Join(lines, []byte("\n")), 0, &rejects).Items(t.Context()) {
		require.NoError(t, err)
		items = append(items, item)
	}
	return items, rejects
}

// parseMap is ParseMap of a map that is good.
func parseMap(t testing.TB, src string) *Map {
	t.Helper()
	m, err := ParseMap([]byte(src))
	require.NoError(t, err)
	return m
}
