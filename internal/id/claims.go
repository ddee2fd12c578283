package id

import (
	"bytes"
	"context"
	"encoding/json"
	"io"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// MaxClaims bounds the ghosts of one identity that are listed and looked through.
const MaxClaims = 32

// claimedText is by an index of those that were claimed.
const claimedText = `SELECT id FROM identities WHERE claimed_by = $1 ORDER BY id LIMIT $2`

// Claimed lists the ghosts that an identity has claimed here, by id: at most
// MaxClaims, and whether there are more.
func (d *Directory) Claimed(ctx context.Context, by string) (ghosts []string, more bool, err error) {
	rows, err := d.db.Read.QueryContext(ctx, claimedText, by, MaxClaims+1)
	if err != nil {
		return nil, false, storage.Failed("list claims", err)
	}
	defer rows.Close()
	for rows.Next() {
		var ghost string
		if err := rows.Scan(&ghost); err != nil {
			return nil, false, storage.Failed("list claims", err)
		}
		ghosts = append(ghosts, ghost)
	}
	if len(ghosts) > MaxClaims {
		ghosts, more = ghosts[:MaxClaims], true
	}
	return ghosts, more, failedOrNil("list claims", rows.Err())
}

func failedOrNil(operation string, err error) error {
	if err == nil {
		return nil
	}
	return storage.Failed(operation, err)
}

// inTime refuses a claim that says itself that it was made when the ghost's time was
// over. What was claimed in time stays claimed wherever its events are brought
// later, so the clock is not asked; whoever has the ghost's key can say another time.
func inTime(ghost *Chain, claim *Event) error {
	if ghost.Status() == StatusActive && ghost.Expires() != "" && ghost.Expires() <= claim.Time {
		return fault.Newf(fault.Conflict, "ghost_expired", "the ghost ended at %s; it can be claimed before that alone", ghost.Expires())
	}
	return nil
}

// Offer is a claim as its ghost signed it: what the claiming identity has yet to
// counter-sign. It is how a ghost in a browser is claimed by a key elsewhere.
type Offer struct {
	Ghost string // LogLine ID
	claim Event
}

// maxOffer bounds the bytes of an offer: an event and an id.
const maxOffer = 20 << 10

var errOffer = fault.New(fault.Invalid, "offer_malformed", "this is no claim that a ghost has signed; save it anew where the ghost is (/account)")

// ParseOffer reads one: {"ghost": LogLine ID, "claim": the event without counter}. What
// is signed by whom CounterSign and the directory judge.
func ParseOffer(src []byte) (*Offer, error) {
	var in struct {
		Ghost string `json:"ghost"`
		Claim struct {
			V         int            `json:"v"`
			Kind      string         `json:"kind"`
			Seq       uint64         `json:"seq"`
			Prev      string         `json:"prev"`
			By        string         `json:"by"`
			Time      string         `json:"time"`
			Signature span.Signature `json:"signature"`
		} `json:"claim"`
	}
	if len(src) > maxOffer {
		return nil, errOffer
	}
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, errOffer.Because(err)
	}
	c := &in.Claim
	if _, err := d.Token(); err != io.EOF || !span.IsIdentity(in.Ghost) || c.V != 1 || c.Kind != KindClaim {
		return nil, errOffer
	}
	o := &Offer{Ghost: in.Ghost, claim: Event{Kind: KindClaim, Seq: c.Seq, Prev: c.Prev, By: c.By, Time: c.Time, Signature: c.Signature}}
	whole := o.claim
	whole.Counter = whole.Signature // of the form that the missing one has
	if _, err := ParseEvent(whole.appendBody(nil, true)); err != nil {
		return nil, errOffer.Because(err)
	}
	return o, nil
}

// CounterSign makes an offer to this identity a claim. It signs nothing that names
// somebody else, and nothing but claims.
func (k *Keys) CounterSign(o *Offer) (*Event, error) {
	if k.primary == nil {
		return nil, errDevice
	}
	if o.claim.By != k.ID() {
		return nil, fault.Newf(fault.Invalid, "offer_not_yours", "the ghost offers itself to %s, and you are %s; have it signed for you", o.claim.By, k.ID())
	}
	e := o.claim
	e.Counter = span.Signature{Key: k.primary.Public(), Value: span.B64(k.primary.Sign(e.Message()))}
	return ParseEvent(e.appendBody(nil, true))
}
