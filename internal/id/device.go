package id

import (
	"bytes"
	"io"

	"github.com/danvoulez/logline/internal/fault"
)

// A device can have a key of its own and nothing else: the identity's primary, which is
// elsewhere, delegates it, and withdraws it when the device is lost. Keys of a device
// sign spans and tokens as far as the delegation goes, and no key event.

var errDevice = fault.New(fault.Conflict, "device_key_alone",
	"this computer has a device's key alone; do that where the identity's primary key is, or take the identity over with `logline identity recover --sheet FILE`")

// NewDevice makes the key of a device for an identity, from its key events (as JCS, in
// order), with 64 bytes of rand. It is good for nothing until the primary has delegated
// it.
func NewDevice(events [][]byte, rand io.Reader) (*Keys, error) {
	k := &Keys{}
	if err := k.Follow(events); err != nil {
		return nil, err
	}
	key, err := randomKey(rand)
	if err != nil {
		return nil, err
	}
	secret, err := randomSeed(rand)
	if err != nil {
		return nil, err
	}
	k.device, k.secret = key, &secret
	return k, nil
}

// IsDevice says whether these are a device's, without the primary.
func (k *Keys) IsDevice() bool { return k.primary == nil && k.device != nil }

// Approved says whether the identity's events delegate the device's key now.
func (k *Keys) Approved() bool {
	d := k.chain.delegation(k.device.Public())
	return d != nil && !d.Ended && k.chain.Status() == StatusActive
}

// Follow takes a device to a later state of its identity. It refuses
// (device_events_other) events that do not continue those that are here.
func (k *Keys) Follow(events [][]byte) error {
	for i, e := range k.events {
		if i >= len(events) || !bytes.Equal(e.Raw, events[i]) {
			return fault.New(fault.Conflict, "device_events_other", "the node's key events do not continue those that this device knows")
		}
	}
	later := &Keys{events: k.events, chain: k.chain}
	if k.chain != nil {
		later.chain = k.chain.Clone()
	}
	for _, raw := range events[len(k.events):] {
		if err := later.restore(raw); err != nil {
			return err
		}
	}
	if later.chain == nil {
		return fault.New(fault.Invalid, "inception_expected", "an identity begins with a key event")
	}
	k.events, k.chain = later.events, later.chain
	return nil
}
