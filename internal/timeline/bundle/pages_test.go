package bundle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// paged reads a bundle by Pages; whole, by Entries.
func paged(t *testing.T, in io.Reader, workers int) (all []*span.Opened, err error) {
	r, err := NewReader(in, Options{Workers: workers})
	require.NoError(t, err)
	for page, err := range r.Pages(t.Context()) {
		if err != nil {
			return all, err
		}
		all = append(all, page...)
	}
	return all, nil
}

func whole(t *testing.T, in io.Reader) (all []*span.Opened, err error) {
	r, err := NewReader(in, Options{})
	require.NoError(t, err)
	for e, err := range r.Entries() {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

// Pages are the entries, in their order, and say of what cannot be read the same.
func TestPages(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 79)
	b.story()
	b.grow(700)
	src := b.whole()
	lines := splitLines(src)
	damaged := joinLines(append(append(append([][]byte(nil), lines[:400]...), []byte(`{"leaf":"x"}`)), lines[401:]...)...)
	for name, in := range map[string]func() io.Reader{
		"sound":          func() io.Reader { return bytes.NewReader(src) },
		"a damaged line": func() io.Reader { return bytes.NewReader(damaged) },
		"cut off":        func() io.Reader { return bytes.NewReader(src[:len(src)/2]) },
		"a failing medium": func() io.Reader {
			return io.MultiReader(bytes.NewReader(joinLines(lines[:300]...)), iotest.ErrReader(errors.New("gone")))
		},
	} {
		want, wrong := whole(t, in())
		for _, workers := range []int{1, 4} {
			got, err := paged(t, in(), workers)
			require.Equal(t, want, got, name)
			require.Equal(t, fault.CodeOf(wrong), fault.CodeOf(err), name)
			if wrong != nil {
				require.Equal(t, wrong.Error(), err.Error(), name)
			}
		}
	}
}

func TestPagesEnd(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 80)
	b.grow(1000)
	r, err := NewReader(bytes.NewReader(b.whole()), Options{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	read := 0
	for page, err := range r.Pages(ctx) {
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
			break
		}
		read += len(page)
		cancel()
	}
	cancel()
	require.Less(t, read, 1000)
}
