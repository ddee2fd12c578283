package id

import (
	"io"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// The next key may live elsewhere than the others: on a recovery sheet, or shared
// among people. Then a thief of the key file signs as the identity until somebody
// rotates it, and cannot rotate it away from its owner.

var errNextAbsent = fault.New(fault.Conflict, "next_key_absent",
	"the next key is not in the key file, because it was taken out of it: it is on the recovery sheet, or shared in a key ceremony; give the sheet with --sheet FILE, or combine the shares with `logline identity ceremony combine`")

// HoldsNext says whether the next key is here.
func (k *Keys) HoldsNext() bool { return k.next != nil }

// NextSeed is the seed of the key that the last event commits to, to be kept
// elsewhere. Codes: next_key_none (a ghost's, or of an identity that has ended),
// next_key_absent.
func (k *Keys) NextSeed() ([32]byte, error) {
	if err := k.mayRotate(); err != nil {
		return [32]byte{}, err
	}
	return [32]byte(k.next.seed()), nil
}

// ForgetNext takes the next key out. Codes as NextSeed's.
func (k *Keys) ForgetNext() error {
	if err := k.mayRotate(); err != nil {
		return err
	}
	k.next = nil
	return nil
}

// TakeNext puts the next key back. It refuses (next_key_wrong) a seed that is not
// of the key that the last event commits to.
func (k *Keys) TakeNext(seed [32]byte) error {
	if k.primary == nil && k.device != nil {
		return errDevice
	}
	next := NewSecretKey(seed)
	if commitment(next.Public()) != k.chain.s.Next || k.chain.Status() != StatusActive {
		return wrongNext(k.chain, next.Public())
	}
	k.next = next
	return nil
}

// mayRotate says why there is no next key here to rotate with.
func (k *Keys) mayRotate() error {
	switch {
	case k.IsDevice():
		return errDevice
	case k.chain.Status() != StatusActive || k.chain.s.Next == "":
		return fault.Newf(fault.Conflict, "next_key_none", "%s has no next key: it is a ghost, or it has ended", k.ID())
	case k.next == nil:
		return errNextAbsent
	}
	return nil
}

// wrongNext says why a key is not the chain's next one.
func wrongNext(c *Chain, key string) error {
	switch {
	case c.Status() != StatusActive:
		return fault.Newf(fault.Conflict, "identity_revoked", "%s has ended (%s); no key brings it back", c.ID(), c.Status())
	case key == c.Primary():
		return fault.Newf(fault.Conflict, "next_key_spent", "this sheet is spent: its key is the identity's current one already. The sheet that was made then is the one that is good now")
	}
	for _, former := range c.s.Former {
		if key == former {
			return fault.Newf(fault.Conflict, "next_key_spent", "this sheet is spent: its key was the identity's and was replaced. The sheet that was made last is the one that is good now")
		}
	}
	return fault.Newf(fault.Conflict, "next_key_wrong", "this is not the next key of %s: the identity's last event commits to another one", c.ID())
}

// Recover makes the keys of an identity whose other keys are lost, from its key
// events (as JCS, in order) and the seed of the key that the last of them commits
// to, and rotates to that key; with 64 bytes of rand for a new next key and a new
// importer's secret. Save the keys, then send the event, which is the last of
// Events. Codes: those of key events, next_key_spent, next_key_wrong,
// identity_revoked.
func Recover(events [][]byte, seed [32]byte, now time.Time, rand io.Reader) (*Keys, *Event, error) {
	k := &Keys{}
	for _, raw := range events {
		if err := k.restore(raw); err != nil {
			return nil, nil, err
		}
	}
	if k.chain == nil {
		return nil, nil, fault.New(fault.Invalid, "inception_expected", "an identity without a key event cannot be recovered")
	}
	if err := k.TakeNext(seed); err != nil {
		return nil, nil, err
	}
	k.primary = k.next // for take, which takes nothing from a device; Rotate makes it so
	event, err := k.Rotate(now, rand)
	if err != nil {
		return nil, nil, err
	}
	secret, err := randomSeed(rand)
	if err != nil {
		return nil, nil, err
	}
	k.secret = &secret
	return k, event, nil
}
