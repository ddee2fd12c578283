package span_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

func load(t testing.TB, file string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "vectors", file))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, into))
}

type jsonVectors struct {
	Canonical []struct{ Input, Canonical, Sha256 string }
	Refuse    []struct {
		Why, Input string
		InputB64u  string `json:"input_b64u"`
	}
}

type spanVectors struct {
	Spans []struct {
		Span          json.RawMessage
		SignedMessage string `json:"signed_message_b64u"`
		HeaderHash    string `json:"header_hash"`
	}
	RefuseAlone []struct {
		Why  string
		Span json.RawMessage
	} `json:"refuse_alone"`
}

type entryVector struct {
	Line     string
	LeafHash string `json:"leaf_hash"`
	Detail   json.RawMessage
}

func TestVectorsCanonicalJSON(t *testing.T) {
	t.Parallel()
	var v jsonVectors
	load(t, "canonical-json.json", &v)
	require.NotEmpty(t, v.Canonical)
	require.NotEmpty(t, v.Refuse)
	for _, c := range v.Canonical {
		got, err := span.Canonicalize([]byte(c.Input))
		require.NoError(t, err, c.Input)
		assert.Equal(t, c.Canonical, string(got))
		sum := sha256.Sum256(got)
		assert.Equal(t, c.Sha256, hex.EncodeToString(sum[:]))
		again, err := span.Canonicalize(got)
		require.NoError(t, err)
		assert.Equal(t, string(got), string(again))
	}
	for _, c := range v.Refuse {
		input := []byte(c.Input)
		if c.InputB64u != "" {
			var err error
			input, err = base64.RawURLEncoding.DecodeString(c.InputB64u)
			require.NoError(t, err)
		}
		got, err := span.Canonicalize(input)
		assert.Error(t, err, "%s: gave %q", c.Why, got)
	}
}

func TestVectorsSpans(t *testing.T) {
	t.Parallel()
	var v spanVectors
	load(t, "spans.json", &v)
	require.NotEmpty(t, v.Spans)
	for _, c := range v.Spans {
		sp, err := span.Parse(c.Span, span.Limits{})
		require.NoError(t, err)
		assert.Equal(t, c.SignedMessage, span.B64(sp.Message()))
		assert.Equal(t, c.HeaderHash, sp.Hash().String())
		require.NoError(t, checkSignature(sp))

		want, err := span.Canonicalize(c.Span)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(sp.Canonical()))
		h, err := span.ParseHeader(sp.AppendCanonical(nil), span.Limits{})
		require.NoError(t, err)
		assert.Equal(t, &sp.Header, h)
	}
}

func TestVectorsSpansRefusedAlone(t *testing.T) {
	t.Parallel()
	var v spanVectors
	load(t, "spans.json", &v)
	require.NotEmpty(t, v.RefuseAlone)
	for _, c := range v.RefuseAlone {
		sp, err := span.Parse(c.Span, span.Limits{})
		if err == nil {
			err = checkSignature(sp)
		}
		assert.Error(t, err, c.Why)
	}
}

var errSignature = errors.New("signature does not verify")

func checkSignature(sp *span.Span) error {
	pub, err := span.ParseB64(sp.Signature.Key, ed25519.PublicKeySize)
	if err != nil {
		return err
	}
	sig, err := span.ParseB64(sp.Signature.Value, ed25519.SignatureSize)
	if err != nil {
		return err
	}
	if !ed25519.Verify(pub, sp.Message(), sig) {
		return errSignature
	}
	return nil
}

func TestVectorsEntries(t *testing.T) {
	t.Parallel()
	var spans spanVectors
	load(t, "spans.json", &spans)
	var entries []entryVector
	load(t, "entries.json", &entries)
	require.Len(t, entries, len(spans.Spans))
	for i, c := range entries {
		e, err := span.ParseLine([]byte(c.Line))
		require.NoError(t, err)
		assert.Equal(t, uint64(i), e.Seq)
		assert.Equal(t, c.Line, string(e.AppendLine(nil)))
		assert.Equal(t, c.LeafHash, span.LeafHash([]byte(c.Line)).String())

		sp, err := span.Parse(spans.Spans[i].Span, span.Limits{})
		require.NoError(t, err)
		assert.Equal(t, sp.Header, e.Span)

		o := span.Opened{Entry: *e, Payload: sp.Payload, Salt: sp.Salt}
		if c.Detail != nil {
			d, canonical, err := span.ParseDetail(c.Detail)
			require.NoError(t, err)
			want, err := span.Canonicalize(c.Detail)
			require.NoError(t, err)
			assert.Equal(t, string(want), string(canonical))
			assert.Equal(t, e.Decision.DetailHash, d.Hash().String())
			o.Detail = canonical
		}
		back, err := span.ParseOpened(o.AppendLine(nil), span.Limits{})
		require.NoError(t, err)
		assert.Equal(t, &o, back)
		require.NoError(t, back.CheckHashes())
	}
}
