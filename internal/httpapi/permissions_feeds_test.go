package httpapi_test

import (
	"bytes"
	"io"
	"net/http"

	"github.com/stretchr/testify/require"
)

func feedPath(a *asking) string {
	path := a.at("/feed?from=0&tag=" + seen)
	if a.who.ticket != nil {
		path += "&ticket=" + a.who.ticket()
	}
	return path
}

func feedEvents(a *asking) *http.Request {
	req := a.request(http.MethodGet, feedPath(a), a.feedToken(), "", nil)
	req.Header.Set("Accept", "text/event-stream")
	return req
}

// feedToken is the credential beside the address: none where a ticket is in it.
func (a *asking) feedToken() string {
	if a.who.ticket != nil {
		return ""
	}
	return a.who.token
}

func socketTo(path func(*asking) string, protocol string) func(*asking) *http.Request {
	return func(a *asking) *http.Request {
		req := a.request(http.MethodGet, path(a), a.feedToken(), "", nil)
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13",
			"Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-Websocket-Protocol": protocol} {
			req.Header.Set(name, value)
		}
		return req
	}
}

// words counts the marked spans whose content is in a bundle.
func words(a *asking, resp *http.Response) int {
	text, err := io.ReadAll(resp.Body)
	require.NoError(a.t, err)
	return bytes.Count(text, []byte(`"tags":["`+seen+`"]`))
}

// sent counts the marked entries of a feed.
func sent(a *asking, resp *http.Response) int {
	return len(tapEvents(a.t, resp.Body).until(0, a.size()))
}

// socketSent counts those of a feed as a WebSocket, which it opens itself.
func socketSent(a *asking, _ *http.Response) int {
	conn, _, err := a.dial(feedPath(a), a.feedToken(), nil)
	require.NoError(a.t, err)
	defer conn.Close()
	return len(tapOf(a.t, conn).until(0, a.size()))
}
