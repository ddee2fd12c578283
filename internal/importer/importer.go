// Package importer turns what happened elsewhere into signed spans: a Source
// yields items, the importer derives their ids and salts, signs them in batches
// and hands them to an Appender. Running it again over the same source adds
// nothing twice, because everything but the signing time derives from the
// source and from a secret of the importer.
//
// It owns the mapping from item to span and the conversation with the
// Appender: order, retries, what counts as "already there". It knows no HTTP
// and no storage, and it never invents a time, an actor or a cause.
package importer

import (
	"context"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// Item is one event of a source, before it is a span.
type Item struct {
	SourceID string    // what the source calls it; unique in the source
	Time     time.Time // when it happened, see SpanTime for the range; zero when nobody knows

	Actor     string // who did it, as the source names them (an e-mail, say); "" when nobody is named
	ActorName string // their name for people to read; goes to the erasable directory alone

	Type       string
	Title      string
	Subject    string
	Tags       []string
	Visibility string   // "" is Config.Visibility
	Causes     []string // source ids of items that came before

	People  []Person       // others who took part, named in the payload by their ghost's id
	Payload map[string]any // free; must hold what JSON can
	Body    []byte         // the payload as canonical JSON, instead of Payload and People

	Ref    any // the source's own, for Config.Refused
	Weight int // bytes of memory that Body and Ref hold
}

// Person is somebody besides the actor; the importer puts their ghost's
// LogLine ID under Member in the payload.
type Person struct {
	Member string
	Actor  string
	Name   string
}

// Source is a place where things happened.
type Source interface {
	// Name identifies the source and enters every derived id: it must be the
	// same for every copy of the source, whatever its path or host.
	Name() string
	// Count is how many items there are, or a negative number when only
	// reading all of them would tell.
	Count(ctx context.Context) (int64, error)
	// Items yields every item, causes before effects, and stops at the first
	// error or when ctx ends. It may be called more than once.
	Items(ctx context.Context) iter.Seq2[Item, error]
}

// Result is what became of one line of a batch. Err is nil when the span is in
// the timeline; Repeat says that this very header was there before. A refusal
// because another header holds the id carries Meta "existing" with author and
// payload_hash.
type Result struct {
	Repeat bool
	Err    error
}

// Appender is the node the spans go to. Its errors are *fault.Error; kinds
// limited and unavailable are tried again, and may have persisted.
type Appender interface {
	// Append submits sealed spans and gives one Result per line, in order.
	Append(ctx context.Context, lines [][]byte) ([]Result, error)
	// Register makes a ghost known at the node; doing it again is harmless.
	Register(ctx context.Context, ghost *id.Keys, name string) error
}

// Config is what an import needs beside its source.
type Config struct {
	Keys       *id.Keys // the importer: author of every span, holder of the secret
	Tenant     string   // tenant id
	Visibility string   // of every span; "" is organization
	BatchSize  int      // spans per request; 0 is 500

	Now      func() time.Time
	Patience time.Duration  // how long one request is retried; 0 is 5 minutes
	Progress func(Progress) // called after each batch, never concurrently; may be nil
	// Refused is called for each item that the node refuses for good, in order
	// and never concurrently with itself; its error ends the import. May be nil.
	Refused func(Item, Failure) error
	// Waiting is called before a pause after which a request is tried again,
	// with what came of it; concurrently, also with Progress. May be nil.
	Waiting func(err error, pause time.Duration)
}

// Progress is how far an import is.
type Progress struct {
	Total   int64 // negative when unknown
	Added   int64
	Already int64
	Failed  int64
	Ghosts  int // identities made known so far
	Elapsed time.Duration
}

// Done is how many items have been answered.
func (p Progress) Done() int64 { return p.Added + p.Already + p.Failed }

// Rate is items answered per second.
func (p Progress) Rate() float64 {
	if p.Elapsed <= 0 {
		return 0
	}
	return float64(p.Done()) / p.Elapsed.Seconds()
}

// Failure is one item that could not be appended.
type Failure struct {
	SourceID string `json:"source_id"`
	SpanID   string `json:"span_id"`
	Code     string `json:"code"`
	Detail   string `json:"detail"`
}

// maxFailures bounds Report.Failures; Progress.Failed counts all of them.
const maxFailures = 100

// What is remembered of a source of any length: the last items that can be named
// as a cause, and the last actors that need not be registered again. Between
// these and twice as many are kept.
const (
	maxSeen   = 1 << 20
	maxActors = 1 << 16
)

// maxBatchWeight ends a batch before its number of items does, in bytes.
const maxBatchWeight = 4 << 20

// readAhead is how many batches may wait to be signed, their people registered or
// about to be.
const readAhead = 4

// Report is the outcome of an import.
type Report struct {
	Progress
	Source     string
	Edges      int64 // causes written
	Unresolved int64 // causes the source never yielded (or not among its last million items), left out
	Overflow   int64 // causes past the 64 a header holds; the payload still names them
	Failures   []Failure
}

// Importer runs imports for one author into one tenant.
type Importer struct {
	to     Appender
	cfg    Config
	signer id.Signer
}

// New makes an importer that hands its spans to the given Appender.
func New(to Appender, cfg Config) *Importer {
	if cfg.BatchSize <= 0 {
		cfg.BatchSize = 500
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 5 * time.Minute
	}
	if cfg.Visibility == "" {
		cfg.Visibility = span.VisibilityOrganization
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Progress == nil {
		cfg.Progress = func(Progress) {}
	}
	if cfg.Refused == nil {
		cfg.Refused = func(Item, Failure) error { return nil }
	}
	if cfg.Waiting == nil {
		cfg.Waiting = func(error, time.Duration) {}
	}
	return &Importer{to: to, cfg: cfg, signer: cfg.Keys.Signer()}
}

// Run imports the whole source, in order. Items that the node refuses are
// counted and reported and do not stop it; an error of the source, of the
// connection beyond Config.Patience, or of rights on the very first batch does.
// The report is good for what was done until then, error or not.
func (im *Importer) Run(ctx context.Context, src Source) (Report, error) {
	start := im.cfg.Now()
	total, err := src.Count(ctx)
	if err != nil {
		return Report{Source: src.Name()}, err
	}
	run := &run{
		Importer: im,
		source:   src.Name(),
		start:    start,
		seen:     newRecent[[10]byte, int64](maxSeen),
		ghosts:   newGhosts(im.cfg, src.Name(), im.to),
		report:   Report{Source: src.Name(), Progress: Progress{Total: total}},
	}
	im.cfg.Progress(run.report.Progress)
	// One batch is signed while the one before it is in flight, and people are
	// registered further ahead: that waits for the node's disk.
	known, ready := make(chan people, readAhead), make(chan *batch, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(known)
		return run.read(ctx, src, group, known)
	})
	group.Go(func() error {
		defer close(ready)
		for p := range known {
			b, err := run.sign(ctx, p)
			if err != nil {
				return err
			}
			if err := send(ctx, ready, b); err != nil {
				return err
			}
		}
		return nil
	})
	group.Go(func() error {
		for b := range ready {
			if err := run.submit(ctx, b); err != nil {
				return err
			}
		}
		return nil
	})
	err = group.Wait()
	run.report.Elapsed = im.cfg.Now().Sub(start)
	return run.report, err
}
