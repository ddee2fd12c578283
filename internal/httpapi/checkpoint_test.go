package httpapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/policy"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// witness is a C2SP witness: it cosigns a checkpoint only if the log's key signed
// it and it extends the last one that it cosigned.
type witness struct {
	name   string
	vkey   string
	signer note.Signer

	mu   sync.Mutex // guards last
	last tree.Checkpoint
}

func newWitness(t testing.TB, name string) *witness {
	t.Helper()
	secret, public, err := note.GenerateKey(rand.Reader, name+".example/w")
	require.NoError(t, err)
	vkey, err := cosignature.VKeyToCosignatureV1(public)
	require.NoError(t, err)
	signer, err := cosignature.NewSignerForCosignatureV1(secret)
	require.NoError(t, err)
	return &witness{name: name, vkey: vkey, signer: signer}
}

// sign adds the witness's line to a note, whatever the note says.
func (x *witness) sign(t testing.TB, raw []byte, logKey string) []byte {
	t.Helper()
	verifier, err := note.NewVerifier(logKey)
	require.NoError(t, err)
	n, err := note.Open(raw, note.VerifierList(verifier))
	require.NoError(t, err)
	signed, err := note.Sign(n, x.signer)
	require.NoError(t, err)
	return signed
}

// visit does a witness's whole round against a node.
func (x *witness) visit(ctx context.Context, t testing.TB, c *client.Client, tenant client.Tenant) []byte {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	raw, err := c.Checkpoint(ctx, tenant.Id)
	require.NoError(t, err)
	checkpoint, err := tree.OpenNote(raw, tenant.LogKey)
	require.NoError(t, err)
	if x.last.Size > 0 {
		p, err := c.Consistency(ctx, tenant.Id, x.last.Size, checkpoint.Size)
		require.NoError(t, err)
		hashes := make([]span.Hash, len(p.Hashes))
		for i := range p.Hashes {
			hashes[i], err = span.ParseHash(p.Hashes[i])
			require.NoError(t, err)
		}
		require.NoError(t, tree.VerifyConsistency(x.last.Size, checkpoint.Size, x.last.Root, checkpoint.Root, hashes))
	}
	dressed, news, err := c.Cosign(ctx, tenant.Id, x.sign(t, raw, tenant.LogKey))
	require.NoError(t, err)
	require.True(t, news)
	x.last = checkpoint
	return dressed
}

func quorum(t testing.TB, need string, witnesses ...*witness) *policy.Policy {
	t.Helper()
	var b strings.Builder
	group := "group G " + need
	for _, x := range witnesses {
		b.WriteString("witness " + x.name + " " + x.vkey + "\n")
		group += " " + x.name
	}
	p, err := policy.Parse([]byte(b.String() + group + "\nquorum G\n"))
	require.NoError(t, err)
	return p
}

// newWitnessedWorld is newWorld with two witnesses, both of whom must cosign.
func newWitnessedWorld(t testing.TB, changes ...setup) (w *world, north, south *witness, c *client.Client) {
	t.Helper()
	north, south = newWitness(t, "north"), newWitness(t, "south")
	w = newWitnessedNode(t, quorum(t, "all", north, south), changes...)
	w.owner = w.identity()
	w.tenant = w.newTenant(bootstrapToken, "acme", false)
	c, err := client.New(w.url, client.WithHTTPClient(w.http), client.WithClock(w.clock.now), client.WithSigner(w.owner.Signer(), w.owner.ID(), w.node.ID()))
	require.NoError(t, err)
	return w, north, south, c
}

func (w *world) postNote(raw []byte) reply {
	w.t.Helper()
	return w.do(w.request(http.MethodPost, w.at("/checkpoint"), "", "text/plain", bytes.NewReader(raw)))
}

func TestWitnessesCosign(t *testing.T) {
	t.Parallel()
	w, north, south, c := newWitnessedWorld(t)
	raw := w.note(w.owner, 1)
	w.append(raw).want(t, http.StatusCreated)
	w.get(w.at("/checkpoint?cosigned=true"), "").problem(t, http.StatusNotFound, "not_cosigned")

	north.visit(t.Context(), t, c, w.tenant)
	plain := w.get(w.at("/checkpoint"), "").want(t, http.StatusOK).body
	require.Contains(t, string(plain), "\n— north.example/w ")
	w.get(w.at("/checkpoint?cosigned=true"), "").problem(t, http.StatusNotFound, "not_cosigned") // the policy asks for both
	w.get(w.at("/spans/"+spanID(t, raw)+"/receipt?cosigned=true"), w.token(w.owner)).problem(t, http.StatusNotFound, "not_cosigned")
	both := south.visit(t.Context(), t, c, w.tenant)
	require.Equal(t, both, w.get(w.at("/checkpoint?cosigned=true"), "").want(t, http.StatusOK).body)
	n, err := tree.ParseNote(both)
	require.NoError(t, err)
	require.Len(t, n.Signatures, 3)

	// The timeline goes on; what was cosigned stays the newest that is.
	later := w.note(w.owner, 2)
	w.append(later).want(t, http.StatusCreated)
	require.Equal(t, both, w.get(w.at("/checkpoint?cosigned=true"), "").want(t, http.StatusOK).body)
	require.NotContains(t, string(w.get(w.at("/checkpoint"), "").want(t, http.StatusOK).body), "north")
	w.get(w.at("/spans/"+spanID(t, later)+"/receipt?cosigned=true"), w.token(w.owner)).problem(t, http.StatusNotFound, "not_cosigned")
	w.append(w.note(w.owner, 3)).want(t, http.StatusCreated)
	w.get(w.at("/bundle?cosigned=true&to=3"), w.token(w.owner)).problem(t, http.StatusBadRequest, "parameter_invalid")
	var cut bytes.Buffer
	require.NoError(t, c.CosignedBundle(t.Context(), w.tenant.Id, &cut, 0)) // ends before what is newer
	whole, err := bundle.Verify(t.Context(), &cut, bundle.Options{Policy: quorum(t, "all", north, south)})
	require.NoError(t, err)
	require.True(t, whole.OK, "%+v", whole.Problems)
	require.Equal(t, [2]uint64{n.Size, n.Size}, [2]uint64{whole.To, whole.Size})
	require.Less(t, whole.To, w.size())
	w.get(w.at("/bundle?cosigned=true&from=7"), w.token(w.owner)).problem(t, http.StatusNotFound, "not_cosigned")

	north.visit(t.Context(), t, c, w.tenant)
	newest := south.visit(t.Context(), t, c, w.tenant)

	// The receipt of the entry between is under the checkpoint that covers it.
	file, err := c.ReceiptProof(t.Context(), w.tenant.Id, spanID(t, later), true)
	require.NoError(t, err)
	proof, err := tree.ParseProofFile(file)
	require.NoError(t, err)
	require.Equal(t, newest, proof.Checkpoint)
	_, err = proof.Verify(span.LeafHash(proof.Extra), w.tenant.LogKey)
	require.NoError(t, err)

	// Receipt, proof file and bundle carry the lines of their own checkpoint.
	var receipt client.Receipt
	w.get(w.at("/spans/"+spanID(t, raw)+"/receipt"), w.token(w.owner)).want(t, http.StatusOK).decode(t, &receipt)
	require.Equal(t, string(both), receipt.Checkpoint)
	var out bytes.Buffer
	require.NoError(t, c.Bundle(t.Context(), w.tenant.Id, &out, 0, 0))
	report, err := bundle.Verify(t.Context(), &out, bundle.Options{Policy: quorum(t, "all", north, south)})
	require.NoError(t, err)
	require.True(t, report.OK, "%+v", report.Problems)
	require.Len(t, report.Cosigned.By, 2)
}

func TestCosignaturesAreChecked(t *testing.T) {
	t.Parallel()
	w, north, _, _ := newWitnessedWorld(t)
	own := w.get(w.at("/checkpoint"), "").want(t, http.StatusOK).body
	signed := north.sign(t, own, w.tenant.LogKey)
	stranger := newWitness(t, "stranger")
	n, err := tree.ParseNote(own)
	require.NoError(t, err)
	other := n.Checkpoint
	other.Root[0] ^= 1
	fork, err := other.Sign(w.node.LogKey(), w.node.SignLog)
	require.NoError(t, err)
	beyond := n.Checkpoint
	beyond.Size++
	ahead, err := beyond.Sign(w.node.LogKey(), w.node.SignLog)
	require.NoError(t, err)
	lines := bytes.SplitAfter(signed, []byte("\n"))
	withoutLog := bytes.Join(append(slices.Clone(lines[:4]), lines[5]), nil)
	ofFork := bytes.SplitAfter(north.sign(t, fork, w.tenant.LogKey), []byte("\n"))
	wrong := append(bytes.Clone(own), ofFork[5]...) // north's, of another checkpoint
	forgedRoot := bytes.Replace(signed, lines[2], []byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"), 1)

	for name, c := range map[string]struct {
		note   []byte
		status int
		code   string
	}{
		"nothing":            {nil, http.StatusBadRequest, "checkpoint_invalid"},
		"no cosignature":     {own, http.StatusBadRequest, "cosignatures_missing"},
		"no log signature":   {withoutLog, http.StatusBadRequest, "checkpoint_signature_invalid"},
		"wrong signature":    {wrong, http.StatusBadRequest, "cosignature_invalid"},
		"unknown witness":    {stranger.sign(t, signed, w.tenant.LogKey), http.StatusBadRequest, "witness_unknown"},
		"another root":       {forgedRoot, http.StatusConflict, "checkpoint_foreign"},
		"a fork by our key":  {north.sign(t, fork, w.tenant.LogKey), http.StatusConflict, "checkpoint_fork"},
		"a size not reached": {north.sign(t, ahead, w.tenant.LogKey), http.StatusNotFound, "checkpoint_unknown"},
		"too large":          {bytes.Repeat([]byte("x"), tree.MaxNoteSize+1), http.StatusRequestEntityTooLarge, "body_too_large"},
	} {
		w.postNote(c.note).problem(t, c.status, c.code)
		require.Equal(t, own, w.get(w.at("/checkpoint"), "").body, "%s was taken", name)
	}
	w.do(w.request(http.MethodPost, w.at("/checkpoint"), "", "application/json", bytes.NewReader(signed))).
		problem(t, http.StatusUnsupportedMediaType, "content_type_unsupported")
	w.do(w.request(http.MethodPost, "/v1/tenants/acme/checkpoint", "", "text/plain", bytes.NewReader(signed))).
		problem(t, http.StatusUnauthorized, "credential_required")

	first := w.postNote(signed).want(t, http.StatusCreated).body
	require.Equal(t, signed, first)
	require.Equal(t, first, w.postNote(signed).want(t, http.StatusOK).body) // a repeat is no news
}

func TestCosignaturesNeedAPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := w.get(w.at("/checkpoint"), "").body
	w.postNote(newWitness(t, "north").sign(t, own, w.tenant.LogKey)).problem(t, http.StatusNotFound, "witnesses_unset")
	w.get(w.at("/checkpoint?cosigned=true"), "").problem(t, http.StatusNotFound, "witnesses_unset")
	w.get(w.at("/checkpoint?cosigned=maybe"), "").problem(t, http.StatusBadRequest, "parameter_invalid")
}

func TestAppendWaitsForWitnesses(t *testing.T) {
	t.Parallel()
	w, north, south, c := newWitnessedWorld(t, func(d *httpapi.Deps) { d.Limits.Witness = time.Minute })
	done := make(chan *client.Appended, 1)
	raw := w.note(w.owner, 1)
	before := w.size()
	go func() {
		a, err := c.Append(context.Background(), w.tenant.Id, raw, client.WaitWitnessed())
		if err != nil {
			t.Error(err)
		}
		done <- a
	}()
	require.Eventually(t, func() bool { return w.size() > before }, time.Minute, 5*time.Millisecond)
	north.visit(t.Context(), t, c, w.tenant)
	select {
	case <-done:
		t.Fatal("one of two witnesses was enough")
	default:
	}
	both := south.visit(t.Context(), t, c, w.tenant)
	a := <-done
	require.Equal(t, http.StatusCreated, a.Status)
	require.Equal(t, string(both), a.Receipt.Checkpoint)

	// A repeat finds what is there.
	again, err := c.Append(t.Context(), w.tenant.Id, raw, client.WaitWitnessed())
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, again.Status)
	w.do(w.request(http.MethodPost, w.at("/spans?wait=witnessed"), "", "application/x-ndjson", bytes.NewReader(raw))).
		problem(t, http.StatusBadRequest, "parameter_invalid")
}

func TestWitnessesThatDoNotCome(t *testing.T) {
	t.Parallel()
	w, north, _, c := newWitnessedWorld(t, func(d *httpapi.Deps) { d.Limits.Witness = 20 * time.Millisecond })
	north.visit(t.Context(), t, c, w.tenant)
	r := w.post(w.at("/spans?wait=witnessed"), "", w.note(w.owner, 1)).want(t, http.StatusAccepted)
	var receipt client.Receipt
	require.NoError(t, json.Unmarshal(r.body, &receipt))
	_, err := tree.OpenNote([]byte(receipt.Checkpoint), w.tenant.LogKey)
	require.NoError(t, err)
	require.NotContains(t, receipt.Checkpoint, "north")
}
