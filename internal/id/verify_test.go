package id

import (
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"math/big"
	"slices"
	"testing"

	"filippo.io/edwards25519"
	"github.com/stretchr/testify/require"
)

// order is L, the order of the base point.
var order, _ = new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// torsion are the eight points of small order in canonical encoding.
func torsion(t testing.TB) [][]byte {
	return [][]byte{
		unhex(t, "0100000000000000000000000000000000000000000000000000000000000000"),
		unhex(t, "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
		unhex(t, "0000000000000000000000000000000000000000000000000000000000000000"),
		unhex(t, "0000000000000000000000000000000000000000000000000000000000000080"),
		unhex(t, "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
		unhex(t, "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
		unhex(t, "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
		unhex(t, "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
	}
}

// nonCanonical are all encodings that decode although they are not canonical:
// y from p to 2^255-1, and a set sign where x is zero.
func nonCanonical(t testing.TB) [][]byte {
	t.Helper()
	var all [][]byte
	for _, sign := range []byte{0x00, 0x80} {
		for low := 0xed; low <= 0xff; low++ {
			b := slices.Repeat([]byte{0xff}, 32)
			b[0], b[31] = byte(low), 0x7f|sign
			if _, err := new(edwards25519.Point).SetBytes(b); err == nil {
				all = append(all, b)
			}
		}
	}
	all = append(all,
		unhex(t, "0100000000000000000000000000000000000000000000000000000000000080"),
		unhex(t, "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"))
	require.Greater(t, len(all), 6)
	return all
}

func point(t testing.TB, b []byte) *edwards25519.Point {
	t.Helper()
	p, err := new(edwards25519.Point).SetBytes(b)
	require.NoError(t, err)
	return p
}

func scalarOf(t testing.TB, seed [64]byte) *edwards25519.Scalar {
	t.Helper()
	s, err := new(edwards25519.Scalar).SetUniformBytes(seed[:])
	require.NoError(t, err)
	return s
}

func little(n *big.Int) []byte {
	b := n.FillBytes(make([]byte, 32))
	slices.Reverse(b)
	return b
}

func fromLittle(b []byte) *big.Int {
	b = slices.Clone(b)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

// agreement compares the verifiers on one input, the fast one without a table
// of the key, with the small and with the large one, and counts what is accepted.
type agreement struct {
	std, fast        Verifier
	tables           map[string]*oftenKey // of keys that fast has a small table of
	checked, accepts int
}

// table verifies by a key's large table; there is none where the key is no point.
type table struct{ *oftenKey }

func (l table) Verify(_, message, sig []byte) bool {
	return l.oftenKey != nil && l.verify(message, sig)
}

func (a *agreement) check(t testing.TB, pub, message, sig []byte) bool {
	t.Helper()
	want := a.std.Verify(pub, message, sig)
	if a.tables == nil {
		a.tables = make(map[string]*oftenKey)
	}
	large, met := a.tables[string(pub)]
	if !met { // the second meeting makes the small table
		a.fast.Verify(pub, nil, sig)
		a.fast.Verify(pub, nil, sig)
		large = newOftenKey([32]byte(pub))
		a.tables[string(pub)] = large
	}
	for name, v := range map[string]Verifier{"without table": FastVerifier(), "with table": a.fast, "with large table": table{large}} {
		if got := v.Verify(pub, message, sig); got != want {
			t.Fatalf("standard says %v, fast %s says %v: key %x message %x signature %x", want, name, got, pub, message, sig)
		}
	}
	a.checked++
	if want {
		a.accepts++
	}
	return want
}

func TestVerifiersAgreeOnRandomInput(t *testing.T) {
	t.Parallel()
	a := &agreement{std: StdVerifier(), fast: FastVerifier()}
	rnd := source(1)
	for i := range 400 {
		var seed [32]byte
		_, _ = rnd.Read(seed[:])
		key := NewSecretKey(seed)
		pub := []byte(key.private.Public().(ed25519.PublicKey))
		message := make([]byte, i%200)
		_, _ = rnd.Read(message)
		sig := key.Sign(message)
		require.True(t, a.check(t, pub, message, sig))
		// One bit of each part; S plus L; key and signature at random.
		for _, at := range []int{i % 64, 63 - i%32} {
			bad := slices.Clone(sig)
			bad[at] ^= 1 << (i % 8)
			require.False(t, a.check(t, pub, message, bad))
		}
		bad := slices.Clone(pub)
		bad[i%32] ^= 1 << (i % 8)
		require.False(t, a.check(t, bad, message, sig))
		above := new(big.Int).Add(fromLittle(sig[32:]), order)
		require.False(t, a.check(t, pub, message, slices.Concat(sig[:32], little(above))))
		noise := make([]byte, 96)
		_, _ = rnd.Read(noise)
		a.check(t, noise[:32], message, noise[32:])
	}
}

// TestVerifiersAgreeOnEdges builds every combination of honest, mixed-order,
// small-order, non-canonical and undecodable A and R with the S that would
// satisfy the equation, and others at the borders.
func TestVerifiersAgreeOnEdges(t *testing.T) {
	t.Parallel()
	a := &agreement{std: StdVerifier(), fast: FastVerifier()}
	rnd := source(2)
	var seed [64]byte
	_, _ = rnd.Read(seed[:])
	secret := scalarOf(t, seed)
	_, _ = rnd.Read(seed[:])
	nonce := scalarOf(t, seed)
	zero := edwards25519.NewScalar()

	type encoded struct {
		bytes    []byte
		discrete *edwards25519.Scalar // logarithm of its part in the large subgroup
	}
	var keys, nonces []encoded
	for _, tor := range torsion(t) { // the first is the identity: an honest point
		A := new(edwards25519.Point).Add(new(edwards25519.Point).ScalarBaseMult(secret), point(t, tor))
		R := new(edwards25519.Point).Add(new(edwards25519.Point).ScalarBaseMult(nonce), point(t, tor))
		keys = append(keys, encoded{A.Bytes(), secret}, encoded{tor, zero})
		nonces = append(nonces, encoded{R.Bytes(), nonce}, encoded{tor, zero})
	}
	for _, odd := range nonCanonical(t) {
		keys = append(keys, encoded{odd, zero})
		nonces = append(nonces, encoded{odd, zero})
	}
	undecodable := make([]byte, 32)
	undecodable[0] = 2 // y = 2 is on no point
	_, err := new(edwards25519.Point).SetBytes(undecodable)
	require.Error(t, err)
	keys = append(keys, encoded{undecodable, zero})
	nonces = append(nonces, encoded{undecodable, zero})

	for _, A := range keys {
		for _, R := range nonces {
			for m := range byte(4) { // the torsion part cancels for some messages
				message := []byte{m}
				digest := sha512.Sum512(slices.Concat(R.bytes, A.bytes, message))
				k := scalarOf(t, digest)
				S := edwards25519.NewScalar().MultiplyAdd(k, A.discrete, R.discrete)
				a.check(t, A.bytes, message, slices.Concat(R.bytes, S.Bytes()))
				if m > 0 {
					continue
				}
				for _, n := range []*big.Int{
					new(big.Int), order,
					new(big.Int).Sub(order, big.NewInt(1)), new(big.Int).Add(order, fromLittle(S.Bytes())),
					new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)),
				} {
					a.check(t, A.bytes, message, slices.Concat(R.bytes, little(n)))
				}
			}
		}
	}
	// Were nothing accepted, agreement would mean nothing.
	require.Greater(t, a.accepts, 100, "of %d", a.checked)
	require.Less(t, a.accepts, a.checked)
	t.Logf("%d inputs, %d accepted", a.checked, a.accepts)
}

func TestVerifiersRefuseWrongLengths(t *testing.T) {
	t.Parallel()
	key := newKey(1)
	pub := []byte(key.private.Public().(ed25519.PublicKey))
	sig := key.Sign(nil)
	for _, v := range []Verifier{StdVerifier(), FastVerifier()} {
		require.True(t, v.Verify(pub, nil, sig))
		for _, bad := range [][2][]byte{{nil, sig}, {pub[:31], sig}, {append(slices.Clone(pub), 0), sig}, {pub, nil}, {pub, sig[:63]}, {pub, append(slices.Clone(sig), 0)}} {
			require.False(t, v.Verify(bad[0], nil, bad[1]))
		}
	}
}

func TestFastVerifierBoundsItsCache(t *testing.T) {
	t.Parallel()
	f := FastVerifier().(*fastVerifier)
	sig := make([]byte, 64)
	pub := make([]byte, 32)
	for i := range 2 * expandedKeys {
		pub[0], pub[1], pub[2] = byte(i), byte(i>>8), byte(i>>16)
		f.Verify(pub, nil, sig)
	}
	require.Len(t, f.keys, expandedKeys)
}

// A key gets its large table when it is met often, for that of another where
// there are enough; whoever has one is not forgotten for keys that never return.
func TestFastVerifierBoundsItsLargeTables(t *testing.T) {
	t.Parallel()
	f := FastVerifier().(*fastVerifier)
	message := []byte("m")
	for i := range oftenKeys + 50 {
		key := NewSecretKey([32]byte{byte(i), byte(i >> 8), 3})
		pub, sig := []byte(key.private.Public().(ed25519.PublicKey)), key.Sign(message)
		for meeting := range oftenAfter {
			require.Nil(t, f.meetingsOf(pub).large.Load(), "key %d, meeting %d", i, meeting)
			require.True(t, f.Verify(pub, message, sig))
		}
		require.NotNil(t, f.meetingsOf(pub).large.Load(), "key %d", i)
		require.True(t, f.Verify(pub, message, sig))
		require.False(t, f.Verify(pub, []byte("n"), sig))
	}
	large := func() (n int) {
		for _, k := range f.keys {
			if k.large.Load() != nil {
				n++
			}
		}
		return n
	}
	require.Equal(t, oftenKeys, large())
	require.Len(t, f.often, oftenKeys)
	for i := range 2 * expandedKeys {
		f.Verify([]byte{byte(i), byte(i >> 8), 31: 7}, message, make([]byte, 64))
	}
	require.Equal(t, oftenKeys, large())
}

// meetingsOf is what f remembers of a key.
func (f *fastVerifier) meetingsOf(pub []byte) *metKey {
	if k := f.keys[[32]byte(pub)]; k != nil {
		return k
	}
	return &metKey{}
}

func TestCheckPublicKey(t *testing.T) {
	t.Parallel()
	for _, p := range torsion(t) {
		requireCode(t, "key_small_order", CheckPublicKey(p))
	}
	for _, p := range nonCanonical(t) {
		requireCode(t, "key_not_canonical", CheckPublicKey(p))
	}
	off := make([]byte, 32)
	off[0] = 2
	requireCode(t, "key_malformed", CheckPublicKey(off))
	requireCode(t, "key_malformed", CheckPublicKey(off[:31]))
	requireCode(t, "key_malformed", CheckPublicKey(nil))
	require.NoError(t, CheckPublicKey(newKey(1).private.Public().(ed25519.PublicKey)))
}

func FuzzVerifiersAgree(f *testing.F) {
	key := newKey(7)
	pub := []byte(key.private.Public().(ed25519.PublicKey))
	f.Add(pub, []byte("m"), key.Sign([]byte("m")))
	for _, p := range append(torsion(f), nonCanonical(f)...) {
		f.Add(p, []byte("m"), append(slices.Clone(p), make([]byte, 32)...))
	}
	a := &agreement{std: StdVerifier(), fast: FastVerifier()}
	f.Fuzz(func(t *testing.T, pub, message, sig []byte) {
		want := a.std.Verify(pub, message, sig)
		for range 3 {
			require.Equal(t, want, a.fast.Verify(pub, message, sig))
		}
		if len(pub) == ed25519.PublicKeySize && len(sig) == ed25519.SignatureSize {
			require.Equal(t, want, table{newOftenKey([32]byte(pub))}.Verify(nil, message, sig))
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	message := make([]byte, 400)
	for _, c := range []struct {
		name string
		v    Verifier
		keys int // distinct keys in turn
	}{
		{"std", StdVerifier(), 64},
		{"fast/known-keys", FastVerifier(), 64},
		{"fast/new-keys", FastVerifier(), 3 * expandedKeys},
	} {
		b.Run(c.name, func(b *testing.B) {
			pubs, sigs := make([][]byte, c.keys), make([][]byte, c.keys)
			for i := range pubs {
				key := NewSecretKey([32]byte{byte(i), byte(i >> 8), 9})
				pubs[i], sigs[i] = key.private.Public().(ed25519.PublicKey), key.Sign(message)
			}
			i := 0
			for b.Loop() {
				if !c.v.Verify(pubs[i%c.keys], message, sigs[i%c.keys]) {
					b.Fatal("refused")
				}
				i++
			}
		})
	}
}
