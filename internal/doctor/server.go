package doctor

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// Server asks a running server, by its URL.
func (r *Report) Server(ctx context.Context, client *http.Client, base string, now func() time.Time) error {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fault.New(fault.Invalid, "url_invalid", "the server's address is http://host:port or https://host, without a password")
	}
	here := local(u.Hostname())
	if u.Scheme == "http" && !here {
		r.Fail("way to the server", "put TLS before it, and use https://", "it is plain http to another machine: tokens and payloads can be read and changed on the way")
	} else {
		r.OK("way to the server", "%s", u.Scheme)
	}
	began := now()
	status, header, text, err := ask(ctx, client, base, "/readyz")
	took := now().Sub(began)
	switch {
	case err != nil:
		r.Fail("server", "start it, or look at its log", "no answer from %s", u.Host)
		return nil
	case status != http.StatusOK:
		r.Fail("server", "look at its log, and run logline doctor where its data is", "it is not ready: %s", clip(text))
	default:
		r.OK("server", "it can append and sign")
	}
	if theirs, err := http.ParseTime(header.Get("Date")); err == nil {
		r.Skew(now(), theirs, took)
	} else {
		r.Warn("clock of the server", "look at what is between", "the answer has no date")
	}
	if status, _, _, err := ask(ctx, client, base, "/metrics"); err == nil && status == http.StatusOK && !here {
		r.Warn("metrics", "have the proxy keep /metrics to those who collect them", "everybody who reaches %s can read /metrics", u.Host)
	}
	return nil
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 4 << 10

func ask(ctx context.Context, client *http.Client, base, path string) (status int, header http.Header, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+path, nil)
	if err != nil {
		return 0, nil, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, resp.Header, string(body), err
}

func local(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || net.ParseIP(host).IsLoopback()
}

// clip is the beginning of a text, on one line.
func clip(text string) string {
	const most = 200
	text = strings.Join(strings.Fields(text), " ")
	return text[:min(len(text), most)]
}
