package webhook_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/webhook"
)

// The specification's reference libraries sign this.
const (
	vectorSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime      = 1614265330
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	otherSignature  = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
	asymmetric      = "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
)

func headers(id, timestamp, signature string) http.Header {
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", timestamp)
	h.Set("webhook-signature", signature)
	return h
}

func vector() http.Header { return headers(vectorID, strconv.Itoa(vectorTime), vectorSignature) }

// at is a receiver of the vector's secret whose clock is that far from its time.
func at(off time.Duration) webhook.Receiver {
	return webhook.Receiver{Secrets: []string{vectorSecret}, Now: func() time.Time { return time.Unix(vectorTime, 0).Add(off) }}
}

func TestSignsAsTheSpecification(t *testing.T) {
	t.Parallel()
	s, err := webhook.ParseSecret(vectorSecret)
	require.NoError(t, err)
	require.Equal(t, vectorSignature, s.Sign(vectorID, time.Unix(vectorTime, 999), []byte(vectorBody)))
	require.Equal(t, vectorSecret, s.Reveal())
	bare, err := webhook.ParseSecret(strings.TrimPrefix(vectorSecret, "whsec_"))
	require.NoError(t, err)
	require.Equal(t, s, bare)
}

func TestVerify(t *testing.T) {
	t.Parallel()
	id, err := at(0).Verify(vector(), []byte(vectorBody))
	require.NoError(t, err)
	require.Equal(t, vectorID, id)

	change := func(name, value string) http.Header {
		h := vector()
		h.Set(name, value)
		return h
	}
	without := func(name string) http.Header {
		h := vector()
		h.Del(name)
		return h
	}
	twice := func(name string) http.Header {
		h := vector()
		h.Add(name, h.Get(name))
		return h
	}
	for name, c := range map[string]struct {
		header http.Header
		body   string
		off    time.Duration
		is     error
	}{
		"a changed body":                  {vector(), vectorBody + " ", 0, webhook.ErrSignature},
		"a changed id":                    {change("webhook-id", "msg_q"), vectorBody, 0, webhook.ErrSignature},
		"a changed timestamp":             {change("webhook-timestamp", strconv.Itoa(vectorTime+1)), vectorBody, 0, webhook.ErrSignature},
		"another signature":               {change("webhook-signature", otherSignature), vectorBody, 0, webhook.ErrSignature},
		"half a signature":                {change("webhook-signature", vectorSignature[:20]), vectorBody, 0, webhook.ErrHeader},
		"an empty signature":              {change("webhook-signature", "v1,"), vectorBody, 0, webhook.ErrHeader},
		"the right one of another scheme": {change("webhook-signature", "v2"+vectorSignature[2:]), vectorBody, 0, webhook.ErrHeader},
		"only asymmetric ones":            {change("webhook-signature", asymmetric), vectorBody, 0, webhook.ErrHeader},
		"very many signatures":            {change("webhook-signature", strings.Repeat(otherSignature+" ", 16)+vectorSignature), vectorBody, 0, webhook.ErrHeader},
		"no id":                           {without("webhook-id"), vectorBody, 0, webhook.ErrHeader},
		"no timestamp":                    {without("webhook-timestamp"), vectorBody, 0, webhook.ErrHeader},
		"no signature":                    {without("webhook-signature"), vectorBody, 0, webhook.ErrHeader},
		"two ids":                         {twice("webhook-id"), vectorBody, 0, webhook.ErrHeader},
		"two timestamps":                  {twice("webhook-timestamp"), vectorBody, 0, webhook.ErrHeader},
		"two signature headers":           {twice("webhook-signature"), vectorBody, 0, webhook.ErrHeader},
		"a timestamp of words":            {change("webhook-timestamp", "now"), vectorBody, 0, webhook.ErrHeader},
		"a timestamp with a sign":         {change("webhook-timestamp", "+1614265330"), vectorBody, 0, webhook.ErrHeader},
		"a timestamp with zeros":          {change("webhook-timestamp", "01614265330"), vectorBody, 0, webhook.ErrHeader},
		"a timestamp before all":          {change("webhook-timestamp", "-1614265330"), vectorBody, 0, webhook.ErrHeader},
		"a timestamp that overflows":      {change("webhook-timestamp", "99999999999999999999"), vectorBody, 0, webhook.ErrHeader},
		"an old one":                      {vector(), vectorBody, webhook.DefaultTolerance + 1, webhook.ErrTimestamp},
		"one of the future":               {vector(), vectorBody, -webhook.DefaultTolerance - 1, webhook.ErrTimestamp},
	} {
		_, err := at(c.off).Verify(c.header, []byte(c.body))
		require.ErrorIs(t, err, c.is, name)
		require.NotContains(t, err.Error(), "g0hM9SsE", name)
	}
	for _, off := range []time.Duration{webhook.DefaultTolerance, -webhook.DefaultTolerance} {
		_, err := at(off).Verify(vector(), []byte(vectorBody))
		require.NoError(t, err, "just within")
	}
}

// What is signed is parted by full stops, so that an id with one would let parts
// of it pass for the timestamp, and the timestamp for a part of the body.
func TestFullStopsPartWhatIsSigned(t *testing.T) {
	t.Parallel()
	s, err := webhook.ParseSecret(vectorSecret)
	require.NoError(t, err)
	now := strconv.Itoa(vectorTime)
	signature := s.Sign("a."+now, time.Unix(7, 0), []byte(`{}`))
	_, err = at(0).Verify(headers("a", now, signature), []byte(`7.{}`))
	require.NoError(t, err, "which is why senders may not have such ids")
	_, err = at(0).Verify(headers("a.b", now, s.Sign("a.b", time.Unix(vectorTime, 0), nil)), nil)
	require.ErrorIs(t, err, webhook.ErrHeader)
	require.Error(t, webhook.CheckID("a.b"))
}

// Secrets are exchanged without a gap: the sender signs with both, or the
// receiver knows both.
func TestSeveralSecrets(t *testing.T) {
	t.Parallel()
	h := vector()
	h.Set("webhook-signature", strings.Join([]string{asymmetric, "v3", otherSignature, vectorSignature, ""}, " "))
	_, err := at(0).Verify(h, []byte(vectorBody))
	require.NoError(t, err)

	other, err := webhook.NewSecret(rand.Reader)
	require.NoError(t, err)
	r := at(0)
	r.Secrets = []string{other.Reveal(), vectorSecret}
	_, err = r.Verify(vector(), []byte(vectorBody))
	require.NoError(t, err)
	r.Secrets = r.Secrets[:1]
	_, err = r.Verify(vector(), []byte(vectorBody))
	require.ErrorIs(t, err, webhook.ErrSignature)
	r.Secrets = nil
	_, err = r.Verify(vector(), []byte(vectorBody))
	require.ErrorIs(t, err, webhook.ErrSecret)
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	s, err := webhook.NewSecret(bytes.NewReader(bytes.Repeat([]byte{0xfb}, 32)))
	require.NoError(t, err)
	require.Equal(t, "whsec_"+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, 32)), s.Reveal())
	for _, verb := range []string{"%v", "%s", "%+v", "%#v", "%q"} {
		require.NotContains(t, fmt.Sprintf(verb, s), "+/v7", verb)
		require.NotContains(t, fmt.Sprintf(verb, struct{ S webhook.Secret }{s}), "251", verb)
	}
	_, err = webhook.NewSecret(strings.NewReader("short"))
	require.Error(t, err)

	of := func(n int) string { return "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for text, ok := range map[string]bool{
		of(23): false, of(24): true, of(64): true, of(65): false, "": false, "whsec_": false, "whsec_****": false,
		"whpk_" + of(32)[6:]: false, of(32) + "\n": false, strings.TrimRight(of(32), "="): false,
	} {
		_, err := webhook.ParseSecret(text)
		require.Equal(t, ok, err == nil, text)
		if !ok {
			require.ErrorIs(t, err, webhook.ErrSecret)
			_, err = webhook.Verify(text, vectorNow(t), []byte(vectorBody))
			require.ErrorIs(t, err, webhook.ErrSecret)
		}
	}
}

// vectorNow is the vector with the time of now, and so without its signature.
func vectorNow(t *testing.T) http.Header {
	h := vector()
	h.Set("webhook-timestamp", strconv.FormatInt(time.Now().Unix(), 10))
	return h
}

func TestVerifyNow(t *testing.T) {
	t.Parallel()
	s, err := webhook.ParseSecret(vectorSecret)
	require.NoError(t, err)
	now := time.Now()
	id, err := webhook.Verify(vectorSecret, headers("m", strconv.FormatInt(now.Unix(), 10), s.Sign("m", now, nil)), nil)
	require.NoError(t, err)
	require.Equal(t, "m", id)
	_, err = webhook.Verify(vectorSecret, vector(), []byte(vectorBody))
	require.ErrorIs(t, err, webhook.ErrTimestamp, "it is of 2021")
}

// FuzzVerify: what is taken was signed with the secret for exactly that id, time
// and body, whatever else the headers say.
func FuzzVerify(f *testing.F) {
	f.Add(vectorID, strconv.Itoa(vectorTime), vectorSignature, []byte(vectorBody))
	f.Add("a.b", "1614265330", asymmetric+" "+vectorSignature, []byte("1.{}"))
	f.Add(" ", "0x1", "v1,,v1,", []byte{})
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		s, err := webhook.ParseSecret(vectorSecret)
		require.NoError(t, err)
		got, err := at(0).Verify(headers(id, timestamp, signature), body)
		if err != nil {
			require.Empty(t, got)
			seconds, bad := strconv.ParseInt(timestamp, 10, 64)
			honest := bad == nil && strconv.FormatInt(seconds, 10) == timestamp && webhook.CheckID(id) == nil &&
				seconds >= vectorTime-300 && seconds <= vectorTime+300
			if honest { // only the signature can have been wrong
				_, err = at(0).Verify(headers(id, timestamp, s.Sign(id, time.Unix(seconds, 0), body)), body)
				require.NoError(t, err)
			}
			return
		}
		require.Equal(t, id, got)
		seconds, err := strconv.ParseInt(timestamp, 10, 64)
		require.NoError(t, err)
		require.InDelta(t, vectorTime, seconds, 300)
		require.Contains(t, strings.Split(signature, " "), s.Sign(id, time.Unix(seconds, 0), body))
		body = append(bytes.Clone(body), 0)
		_, err = at(0).Verify(headers(id, timestamp, signature), body)
		require.ErrorIs(t, err, webhook.ErrSignature)
	})
}
