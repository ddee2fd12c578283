package rules

import (
	"context"

	"github.com/danvoulez/logline/internal/standing"
)

// State is the decision state of one timeline as of a position: the entries
// before it, those of the same batch included. It is what Fold has made of the
// lines so far, as rows of key and value, and it is read on demand, never as a
// whole.
//
// Keys are UTF-8 of at most MaxKey bytes, compared as bytes (on PostgreSQL:
// COLLATE "C" or bytea). Values are JSON that only this package reads. A store
// keeps them as they are.
//
// Answers must not change during one call of Decide, Resolve, Fire or Fold. A
// caller that folds several entries before it commits puts the rows of each
// into an overlay that its State reads first. Implementations are safe for
// concurrent reading while nobody changes them; what they return is not to be
// changed. An error of theirs ends the call, which then has decided nothing.
//
// This package never writes: Fold returns the rows that change, in order of
// their keys, a nil value being a deletion, and its caller writes them in the
// transaction of the entry.
type State interface {
	// Get is the value of the row with exactly this key.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)
	// Floor is the row with the greatest key that begins with prefix and is
	// not above key.
	Floor(ctx context.Context, prefix, key string) (row standing.Row, ok bool, err error)
	// Range are the rows whose keys begin with prefix and are above after, in
	// ascending order, at most limit. An empty after begins with the first.
	Range(ctx context.Context, prefix, after string, limit int) ([]standing.Row, error)
}

// MaxKey bounds the key of a row, in bytes.
const MaxKey = 2048

// The keys of rows. Parts that users choose (workflow keys, quota keys,
// subjects) come last or are escaped, so that no two facts share a key;
// identities stand without their scheme.
const (
	// contractPrefix + name: the version in force. Deleted when retired.
	contractPrefix = "contract/"
	// shadowPrefix + name: the version beside it that is only evaluated.
	shadowPrefix = "shadow/"
	// versionPrefix + name@version#hash: where its source stands, for work in
	// flight that is pinned to it. Never deleted.
	versionPrefix = "version/"
	// flightPrefix + name@version#hash: how many workflow instances that it began
	// are not over. Deleted with the last.
	flightPrefix = "flight/"
	// windowPrefix + aggregate: how far back contracts look at it.
	windowPrefix = "window/"
	// workflowPrefix + contract/workflow/key: an instance.
	workflowPrefix = "workflow/"
	// quotaPrefix + contract/quota/key: use within the latest window.
	quotaPrefix = "quota/"
	// trustPrefix + identity: its score.
	trustPrefix = "trust/"
	// sumPrefix + aggregate/[author/][subject/]recorded_at/seq: the running
	// count and sum up to this entry. What no window reaches is deleted, see
	// totals.go.
	sumPrefix = "sum/"
	// approvalPrefix + span id: a span that waits.
	approvalPrefix = "approval/"
	// timerPrefix + due/kind/…: what the clock will bring. In order of time, so
	// that what is due is one range.
	timerPrefix = "timer/"
	// schedulePrefix + contract/schedule: its last run.
	schedulePrefix = "schedule/"
)

// RowPrefixes are the prefixes of all rows that Fold makes. Rows with other
// keys belong to internal/standing.
func RowPrefixes() []string {
	return []string{contractPrefix, shadowPrefix, versionPrefix, flightPrefix, windowPrefix, workflowPrefix, quotaPrefix, trustPrefix,
		sumPrefix, approvalPrefix, timerPrefix, schedulePrefix}
}
