package id

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
)

const (
	// MaxRegisterEvents bounds the events of one registration; more follow one by one.
	MaxRegisterEvents = 256
	// MaxNameLength bounds a display name, in code points.
	MaxNameLength = 128
)

var handlePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// Directory holds the identities that this node knows, with their handles and
// names, in SQL. An event is taken in one transaction with the fold that it
// makes: what Add returned is on the disk, in the order in which it was taken,
// and of two events that contradict each other exactly one is taken, whichever
// process it came through. It is safe for concurrent use.
type Directory struct {
	db  *storage.DB
	v   Verifier
	now func() time.Time

	together together // registrations that share a transaction
}

// NewDirectory works on a migrated database; it starts nothing.
func NewDirectory(db *storage.DB, v Verifier, now func() time.Time) *Directory {
	return &Directory{db: db, v: v, now: now}
}

// Info is an identity as the directory knows it.
type Info struct {
	ID, Subject, Handle, Name, Status string   // Handle and Name may be ""
	Events                            [][]byte // sealed, JCS, in the order taken
	Chain                             *Chain   // the caller's own copy
}

// Register takes a new identity with all its events so far; handle and name
// may be "". The same again, or an earlier part of it, changes nothing and is
// no error (created is false). Codes: those of ParseEvent, Begin and Apply with
// pointers into /events, events_missing, events_too_many, handle_malformed,
// name_malformed, handle_taken, identity_conflict.
func (d *Directory) Register(ctx context.Context, events [][]byte, handle, name string) (Info, bool, error) {
	if err := checkLabels(handle, name); err != nil {
		return Info{}, false, err
	}
	parsed, err := parseEvents(events)
	if err != nil {
		return Info{}, false, err
	}
	// Nothing follows a claim, so at most the last event needs the directory:
	// the claimer, as it is when the claim is taken.
	n := len(parsed)
	for i, e := range parsed[:n-1] {
		if i > 0 && e.Kind == KindClaim {
			return Info{}, false, within(errClaimed(e.By), i+1)
		}
	}
	var claim *Event
	if parsed[n-1].Kind == KindClaim {
		claim, n = parsed[n-1], n-1
	}
	if n == 0 {
		_, err := Begin(claim, d.v)
		return Info{}, false, within(err, 0)
	}
	chain, err := foldEvents(parsed[:n], d.v)
	if err != nil {
		return Info{}, false, err
	}
	r := &registration{events: parsed, chain: chain, claim: claim, handle: handle, name: name}
	if claim != nil {
		err = d.db.InTx(ctx, func(tx *sql.Tx) error { return d.enlist(ctx, tx, r) })
	} else {
		err = d.together.do(ctx, r, d.enlistAll)
	}
	if err != nil {
		return Info{}, false, err
	}
	return r.info, r.created, nil
}

// enlist takes a registration in tx, and claims the identity where it does so.
func (d *Directory) enlist(ctx context.Context, tx *sql.Tx, r *registration) error {
	known, err := load(ctx, tx, "id", r.chain.ID())
	if err == nil {
		r.info, r.created = known, false
		return sameRegistration(known, r.events, r.handle, r.name)
	}
	if fault.KindOf(err) != fault.NotFound {
		return err
	}
	if r.claim != nil {
		if _, err := d.apply(ctx, tx, r.chain, r.claim); err != nil {
			return within(err, len(r.events)-1)
		}
	}
	r.created = true
	r.info = Info{ID: r.chain.ID(), Subject: r.chain.Subject(), Handle: r.handle, Name: r.name, Status: r.chain.Status(), Chain: r.chain}
	for _, e := range r.events {
		r.info.Events = append(r.info.Events, e.Raw)
	}
	return d.insert(ctx, tx, r.info)
}

func checkLabels(handle, name string) error {
	if handle != "" && !handlePattern.MatchString(handle) {
		return fault.New(fault.Invalid, "handle_malformed", "a handle has 1 to 63 of a-z, 0-9, dot, underscore and hyphen, and begins with a letter or digit").
			At("/handle", "is no handle")
	}
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > MaxNameLength || strings.ContainsFunc(name, unseen) {
		return fault.Newf(fault.Invalid, "name_malformed", "a name has at most %d characters, none of them a control character or one that is not seen", MaxNameLength).
			At("/name", "is no name")
	}
	return nil
}

// unseen says of a character that it is none in a name: controls, and what turns
// text, breaks a line or is not seen, by which one name passes for another. Joiners
// are seen in what they join; scripts need them.
func unseen(r rune) bool {
	const zeroWidthNonJoiner, zeroWidthJoiner = 0x200c, 0x200d
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) && r != zeroWidthNonJoiner && r != zeroWidthJoiner
}

func parseEvents(events [][]byte) ([]*Event, error) {
	if len(events) == 0 {
		return nil, fault.New(fault.Invalid, "events_missing", "registering an identity takes its key events, the inception first").At("/events", "is empty")
	}
	if len(events) > MaxRegisterEvents {
		return nil, fault.Newf(fault.Invalid, "events_too_many", "at most %d events register an identity; send the later ones one by one", MaxRegisterEvents).At("/events", "is too long")
	}
	parsed := make([]*Event, len(events))
	for i, raw := range events {
		e, err := ParseEvent(raw)
		if err != nil {
			return nil, within(err, i)
		}
		parsed[i] = e
	}
	return parsed, nil
}

// foldEvents folds events without a claim. An identical repeat is refused: it
// would be stored as an event that changes nothing.
func foldEvents(events []*Event, v Verifier) (*Chain, error) {
	chain, err := Begin(events[0], v)
	if err != nil {
		return nil, within(err, 0)
	}
	for i, e := range events[1:] {
		changed, err := chain.Apply(e, v, nil)
		if err == nil && !changed {
			err = fault.New(fault.Invalid, "event_repeated", "the event repeats an earlier one; send each event once")
		}
		if err != nil {
			return nil, within(err, i+1)
		}
	}
	return chain, nil
}

// within makes the places that err points at places under /events/i.
func within(err error, i int) error {
	if err == nil {
		return nil
	}
	f := fault.From(err)
	out := fault.New(f.Kind, f.Code, f.Detail).Because(err)
	prefix := fmt.Sprintf("/events/%d", i)
	if len(f.Fields) == 0 {
		return out.At(prefix, f.Detail)
	}
	for _, field := range f.Fields {
		out = out.At(prefix+field.Pointer, field.Detail)
	}
	return out
}

// sameRegistration says whether a registration asks for what is there.
func sameRegistration(known Info, events []*Event, handle, name string) error {
	if handle != "" && handle != known.Handle || name != "" && name != known.Name {
		return fault.New(fault.Conflict, "identity_conflict", "the identity is registered with another handle or name; change them with `logline identity set`, or PATCH the identity")
	}
	if len(events) > len(known.Events) {
		return fault.Newf(fault.Conflict, "identity_conflict", "the identity is registered with its first %d events; send the later ones to its events", len(known.Events))
	}
	for i, e := range events {
		if !bytes.Equal(e.Raw, known.Events[i]) {
			return fault.New(fault.Conflict, "identity_conflict", "the identity is registered with other events").
				At(fmt.Sprintf("/events/%d", i), "differs from the one registered")
		}
	}
	return nil
}

// Get is the identity of a LogLine ID; not_found identity_unknown.
func (d *Directory) Get(ctx context.Context, id string) (Info, error) {
	return load(ctx, d.db.Read, "id", id)
}

// ByHandle is the identity with a handle, written with or without "@";
// not_found identity_unknown.
func (d *Directory) ByHandle(ctx context.Context, handle string) (Info, error) {
	handle = strings.TrimPrefix(handle, "@")
	if handle == "" {
		return Info{}, unknown("@")
	}
	return load(ctx, d.db.Read, "handle", handle)
}

// Chain is the identity's fold alone, as it is now; not_found identity_unknown.
func (d *Directory) Chain(ctx context.Context, id string) (*Chain, error) {
	return loadChain(ctx, d.db.Read, id)
}

// Check says whether an event would be taken now, and what it would make of
// the identity. changed is false for an event that has been taken already: the
// identical repeat of a standing delegation, or a retry of any other event of
// this identity that still stands, so that a caller who lost the answer can
// ask again.
func (d *Directory) Check(ctx context.Context, id string, event []byte) (e *Event, next *Chain, changed bool, err error) {
	if e, err = ParseEvent(event); err != nil {
		return nil, nil, false, err
	}
	if next, err = d.Chain(ctx, id); err != nil {
		return nil, nil, false, err
	}
	if changed, err = d.apply(ctx, d.db.Read, next, e); err != nil {
		return nil, nil, false, err
	}
	return e, next, changed, nil
}

// Add takes one event, durably, after all taken before it. An event that has
// been taken already (see Check) changes nothing and is no error.
func (d *Directory) Add(ctx context.Context, id string, event []byte) (Info, error) {
	e, err := ParseEvent(event)
	if err != nil {
		return Info{}, err
	}
	var info Info
	err = d.db.InTx(ctx, func(tx *sql.Tx) error {
		info, err = d.add(ctx, tx, id, e)
		return err
	})
	if err != nil {
		return Info{}, err
	}
	return info, nil
}

func (d *Directory) add(ctx context.Context, tx *sql.Tx, id string, e *Event) (Info, error) {
	info, err := load(ctx, tx, "id", id)
	if err != nil {
		return Info{}, err
	}
	changed, err := d.apply(ctx, tx, info.Chain, e)
	if err != nil || !changed {
		return info, err
	}
	info.Events = append(info.Events, e.Raw)
	info.Status = info.Chain.Status()
	return info, d.update(ctx, tx, info)
}

// apply is Chain.Apply with the claimer from the directory, and with an answer
// for events taken before.
func (d *Directory) apply(ctx context.Context, q querier, chain *Chain, e *Event) (changed bool, err error) {
	var claimer *Chain
	if e.Kind == KindClaim {
		claimer, err = loadChain(ctx, q, e.By)
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return false, err
		}
		if err := inTime(chain, e); err != nil {
			return false, err
		}
	}
	changed, err = chain.Apply(e, d.v, claimer)
	if err == nil || e.Kind == KindDelegate || e.Kind == KindUndelegate && e.Under != chain.s.Under.String() {
		return changed, err
	}
	// A delegation is final once withdrawn, so its repeat stays refused. Any
	// other event that was taken is answered as then.
	taken, lookErr := hasEvent(ctx, q, chain.ID(), e.SealedHash())
	if lookErr != nil {
		return false, lookErr
	}
	if taken {
		return false, nil
	}
	return false, err
}

func unknown(id string) error {
	return fault.Newf(fault.NotFound, "identity_unknown", "this node knows no identity %s", id)
}

func handleTaken(handle string) error {
	return fault.Newf(fault.Conflict, "handle_taken", "the handle %q belongs to another identity; choose another", handle).At("/handle", "is taken")
}

func identityChanged(id string) error {
	return fault.Newf(fault.Conflict, "identity_changed", "the identity %s changed meanwhile; fetch its events and try again", id)
}

// encodeChain is the stored form.
func encodeChain(c *Chain) ([]byte, error) {
	out, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode chain: %w", err)
	}
	return out, nil
}

func decodeChain(src []byte) (*Chain, error) {
	c := new(Chain)
	if err := json.Unmarshal(src, c); err != nil {
		return nil, err
	}
	return c, nil
}
