package main

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"time"

	"github.com/danvoulez/logline/internal/id"
)

type verifyReport struct {
	Verifier string       `json:"verifier"`
	Keys     int          `json:"keys"`
	Each     microseconds `json:"each_us"`
}

// measureVerifiers times one signature check of a span-sized message, on one
// core, for one author and for many.
func measureVerifiers(quick bool, out io.Writer) []verifyReport {
	least := time.Second
	if quick {
		least = 50 * time.Millisecond
	}
	fmt.Fprintf(out, "\nverify one signature (one core)\n")
	var reports []verifyReport
	for _, v := range []struct {
		name string
		id.Verifier
	}{{"standard library", id.StdVerifier()}, {"curve25519-voi, used by the node", id.FastVerifier()}} {
		for _, keys := range []int{1, 1000} {
			r := verifyReport{Verifier: v.name, Keys: keys, Each: timeVerify(v.Verifier, keys, least)}
			fmt.Fprintf(out, "  %-34s %4d keys %10s\n", r.Verifier, r.Keys, show(r.Each))
			reports = append(reports, r)
		}
	}
	return reports
}

func timeVerify(v id.Verifier, keys int, least time.Duration) microseconds {
	type signed struct{ pub, message, sig []byte }
	all := make([]signed, keys)
	for i := range all {
		seed := make([]byte, ed25519.SeedSize)
		seed[0], seed[1] = byte(i), byte(i>>8)
		private := ed25519.NewKeyFromSeed(seed)
		message := fmt.Appendf(nil, "%0700d", i)
		all[i] = signed{private.Public().(ed25519.PublicKey), message, ed25519.Sign(private, message)}
	}
	n := 0
	begin := time.Now()
	for time.Since(begin) < least {
		for i := range all {
			if !v.Verify(all[i].pub, all[i].message, all[i].sig) {
				return 0 // a verifier that refuses a good signature has no speed
			}
			n++
		}
	}
	return microseconds(time.Since(begin) / time.Duration(n))
}
