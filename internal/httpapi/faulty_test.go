package httpapi_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// The stores beside the timelines' with a fault for each method. None embeds
// what it wraps, so that a new method is not forgotten.
var (
	_ engine.Directory   = faultyDirectory{}
	_ httpapi.Directory  = faultyDirectory{}
	_ httpapi.Custody    = faultyCustody{}
	_ httpapi.APIKeys    = faultyAPIKeys{}
	_ timeline.Witnesses = faultyWitnesses{}
)

type faultyDirectory struct {
	d *id.Directory
	f *storetest.Faults
}

func (d faultyDirectory) Register(ctx context.Context, events [][]byte, handle, name string) (info id.Info, made bool, err error) {
	info, err = storetest.CallFor(ctx, d.f, "Directory.Register", func(ctx context.Context) (id.Info, error) {
		info, made, err = d.d.Register(ctx, events, handle, name)
		return info, err
	})
	return info, made, err
}

func (d faultyDirectory) Get(ctx context.Context, identity string) (id.Info, error) {
	return storetest.CallFor(ctx, d.f, "Directory.Get", func(ctx context.Context) (id.Info, error) { return d.d.Get(ctx, identity) })
}

func (d faultyDirectory) ByHandle(ctx context.Context, handle string) (id.Info, error) {
	return storetest.CallFor(ctx, d.f, "Directory.ByHandle", func(ctx context.Context) (id.Info, error) { return d.d.ByHandle(ctx, handle) })
}

func (d faultyDirectory) Chain(ctx context.Context, identity string) (*id.Chain, error) {
	return storetest.CallFor(ctx, d.f, "Directory.Chain", func(ctx context.Context) (*id.Chain, error) { return d.d.Chain(ctx, identity) })
}

func (d faultyDirectory) Claimed(ctx context.Context, by string) (ghosts []string, more bool, err error) {
	ghosts, err = storetest.CallFor(ctx, d.f, "Directory.Claimed", func(ctx context.Context) ([]string, error) {
		ghosts, more, err = d.d.Claimed(ctx, by)
		return ghosts, err
	})
	return ghosts, more, err
}

func (d faultyDirectory) SetLabels(ctx context.Context, identity string, labels id.Labels) (id.Info, error) {
	return storetest.CallFor(ctx, d.f, "Directory.SetLabels", func(ctx context.Context) (id.Info, error) { return d.d.SetLabels(ctx, identity, labels) })
}

func (d faultyDirectory) Check(ctx context.Context, identity string, event []byte) (e *id.Event, chain *id.Chain, known bool, err error) {
	e, err = storetest.CallFor(ctx, d.f, "Directory.Check", func(ctx context.Context) (*id.Event, error) {
		e, chain, known, err = d.d.Check(ctx, identity, event)
		return e, err
	})
	return e, chain, known, err
}

func (d faultyDirectory) Add(ctx context.Context, identity string, event []byte) (id.Info, error) {
	return storetest.CallFor(ctx, d.f, "Directory.Add", func(ctx context.Context) (id.Info, error) { return d.d.Add(ctx, identity, event) })
}

type faultyCustody struct {
	c httpapi.Custody
	f *storetest.Faults
}

func (c faultyCustody) Create(ctx context.Context, subject, handle, name, maker string) (id.Info, error) {
	return storetest.CallFor(ctx, c.f, "Custody.Create", func(ctx context.Context) (id.Info, error) { return c.c.Create(ctx, subject, handle, name, maker) })
}

func (c faultyCustody) Maker(ctx context.Context, identity string) (string, error) {
	return storetest.CallFor(ctx, c.f, "Custody.Maker", func(ctx context.Context) (string, error) { return c.c.Maker(ctx, identity) })
}

func (c faultyCustody) Destroy(ctx context.Context, identity string) error {
	_, err := storetest.CallFor(ctx, c.f, "Custody.Destroy", func(ctx context.Context) (struct{}, error) { return struct{}{}, c.c.Destroy(ctx, identity) })
	return err
}

func (c faultyCustody) Rotation(ctx context.Context, identity string) (*id.Change, error) {
	return storetest.CallFor(ctx, c.f, "Custody.Rotation", func(ctx context.Context) (*id.Change, error) { return c.c.Rotation(ctx, identity) })
}

func (c faultyCustody) Revocation(ctx context.Context, identity, reason string) (*id.Change, error) {
	return storetest.CallFor(ctx, c.f, "Custody.Revocation", func(ctx context.Context) (*id.Change, error) { return c.c.Revocation(ctx, identity, reason) })
}

func (c faultyCustody) Keep(ctx context.Context, change *id.Change) (id.Info, error) {
	return storetest.CallFor(ctx, c.f, "Custody.Keep", func(ctx context.Context) (id.Info, error) { return c.c.Keep(ctx, change) })
}

type faultyAPIKeys struct {
	k httpapi.APIKeys
	f *storetest.Faults
}

func (k faultyAPIKeys) Create(ctx context.Context, terms id.APIKey) (key id.APIKey, text string, err error) {
	key, err = storetest.CallFor(ctx, k.f, "APIKeys.Create", func(ctx context.Context) (id.APIKey, error) {
		key, text, err = k.k.Create(ctx, terms)
		return key, err
	})
	return key, text, err
}

func (k faultyAPIKeys) List(ctx context.Context, identity, after string, limit int) ([]id.APIKey, error) {
	return storetest.CallFor(ctx, k.f, "APIKeys.List", func(ctx context.Context) ([]id.APIKey, error) { return k.k.List(ctx, identity, after, limit) })
}

func (k faultyAPIKeys) Get(ctx context.Context, identity, key string) (id.APIKey, error) {
	return storetest.CallFor(ctx, k.f, "APIKeys.Get", func(ctx context.Context) (id.APIKey, error) { return k.k.Get(ctx, identity, key) })
}

func (k faultyAPIKeys) Rotate(ctx context.Context, identity, key string, overlap time.Duration, expires, by string) (fresh id.APIKey, text string, err error) {
	fresh, err = storetest.CallFor(ctx, k.f, "APIKeys.Rotate", func(ctx context.Context) (id.APIKey, error) {
		var made id.APIKey
		made, text, err = k.k.Rotate(ctx, identity, key, overlap, expires, by)
		return made, err
	})
	return fresh, text, err
}

func (k faultyAPIKeys) Revoke(ctx context.Context, identity, key, by string) (id.APIKey, error) {
	return storetest.CallFor(ctx, k.f, "APIKeys.Revoke", func(ctx context.Context) (id.APIKey, error) { return k.k.Revoke(ctx, identity, key, by) })
}

func (k faultyAPIKeys) Authenticate(ctx context.Context, text string) (id.Credential, error) {
	return storetest.CallFor(ctx, k.f, "APIKeys.Authenticate", func(ctx context.Context) (id.Credential, error) { return k.k.Authenticate(ctx, text) })
}

type faultyWitnesses struct {
	w timeline.Witnesses
	f *storetest.Faults
}

func (w faultyWitnesses) Any() bool { return w.w.Any() }

func (w faultyWitnesses) Add(ctx context.Context, tenant string, note []byte) (dressed []byte, news bool, err error) {
	dressed, err = storetest.CallFor(ctx, w.f, "Witnesses.Add", func(ctx context.Context) ([]byte, error) {
		dressed, news, err = w.w.Add(ctx, tenant, note)
		return dressed, err
	})
	return dressed, news, err
}

func (w faultyWitnesses) Dress(ctx context.Context, tenant string, note []byte) ([]byte, error) {
	return storetest.CallFor(ctx, w.f, "Witnesses.Dress", func(ctx context.Context) ([]byte, error) { return w.w.Dress(ctx, tenant, note) })
}

func (w faultyWitnesses) Newest(ctx context.Context, tenant string) ([]byte, error) {
	return storetest.CallFor(ctx, w.f, "Witnesses.Newest", func(ctx context.Context) ([]byte, error) { return w.w.Newest(ctx, tenant) })
}

func (w faultyWitnesses) Covering(ctx context.Context, tenant string, seq uint64) ([]byte, error) {
	return storetest.CallFor(ctx, w.f, "Witnesses.Covering", func(ctx context.Context) ([]byte, error) { return w.w.Covering(ctx, tenant, seq) })
}

func (w faultyWitnesses) Await(ctx context.Context, tenant string, seq uint64) ([]byte, error) {
	return storetest.CallFor(ctx, w.f, "Witnesses.Await", func(ctx context.Context) ([]byte, error) { return w.w.Await(ctx, tenant, seq) })
}

// Every method of the stores that answers go through can be made to fail.
func TestEveryMethodBesideTheTimelinesCanFail(t *testing.T) {
	t.Parallel()
	f := &storetest.Faults{}
	for kind, value := range map[reflect.Type]any{
		reflect.TypeFor[engine.Directory]():   faultyDirectory{f: f},
		reflect.TypeFor[httpapi.Directory]():  faultyDirectory{f: f},
		reflect.TypeFor[httpapi.Custody]():    faultyCustody{f: f},
		reflect.TypeFor[httpapi.APIKeys]():    faultyAPIKeys{f: f},
		reflect.TypeFor[timeline.Witnesses](): faultyWitnesses{f: f},
	} {
		storetest.RequireFaulty(t, kind, value, f)
	}
}
