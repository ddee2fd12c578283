package liar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Server serves a ledger as a node does, over real sockets.
type Server struct {
	URL string

	mu     sync.Mutex // guards ledger
	ledger *Ledger
	lie    atomic.Pointer[Lie]
	asked  atomic.Int64 // questions that the lie was told to
}

// Lie is told in place of an answer. honest gives that.
type Lie struct {
	At   string // the end of the paths it is told at
	Tell func(w http.ResponseWriter, r *http.Request, honest []byte)
}

// Rewrite is a lie that changes the honest answer's bytes.
func Rewrite(at string, change func(honest []byte) []byte) Lie {
	return Lie{At: at, Tell: func(w http.ResponseWriter, _ *http.Request, honest []byte) { _, _ = w.Write(change(honest)) }}
}

// Replace is a lie that changes text, which must be there.
func Replace(at, from, to string) Lie {
	return Rewrite(at, func(honest []byte) []byte {
		if !bytes.Contains(honest, []byte(from)) {
			panic(fmt.Sprintf("liar: there is no %q to lie about in %s", from, honest))
		}
		return bytes.Replace(honest, []byte(from), []byte(to), 1)
	})
}

// Serve serves the ledger until the test ends.
func Serve(l *Ledger) *Server {
	s := &Server{ledger: l}
	mux := http.NewServeMux()
	const tenant = "/v1/tenants/{tenant}"
	mux.HandleFunc("GET "+tenant, s.answer(s.tenant))
	mux.HandleFunc("GET "+tenant+"/checkpoint", s.answer(s.checkpoint))
	mux.HandleFunc("GET "+tenant+"/proofs/consistency", s.answer(s.consistency))
	mux.HandleFunc("GET "+tenant+"/bundle", s.answer(s.bundle))
	mux.HandleFunc("GET "+tenant+"/spans", s.answer(s.list))
	mux.HandleFunc("POST "+tenant+"/spans", s.answer(s.append))
	mux.HandleFunc("GET "+tenant+"/spans/{span}", s.answer(s.show))
	mux.HandleFunc("GET "+tenant+"/spans/{span}/receipt", s.answer(s.receipt))
	mux.HandleFunc("GET "+tenant+"/feed", s.feed)
	server := httptest.NewServer(mux)
	l.t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Tell tells a lie from now on; nil ends that.
func (s *Server) Tell(l *Lie) { s.asked.Store(0); s.lie.Store(l) }

// Told is how often the lie was told.
func (s *Server) Told() int64 { return s.asked.Load() }

// Show has the server show another ledger from now on.
func (s *Server) Show(l *Ledger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger = l
}

// answer makes the honest answer and tells it, or the lie.
func (s *Server) answer(honest func(l *Ledger, r *http.Request) (status int, body []byte)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		status, body := honest(s.ledger, r)
		s.mu.Unlock()
		if lie := s.lie.Load(); lie != nil && strings.HasSuffix(r.URL.Path, lie.At) {
			s.asked.Add(1)
			lie.Tell(w, r, body)
			return
		}
		if status != http.StatusOK {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
}

func jsonOf(v any) (int, []byte) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return http.StatusOK, b
}

// Problem is a refusal as nodes answer it.
func Problem(status int, code string) []byte {
	_, b := jsonOf(map[string]any{"type": "urn:logline:problem:" + code, "title": http.StatusText(status), "status": status, "detail": "no"})
	return b
}

func (s *Server) tenant(l *Ledger, _ *http.Request) (int, []byte) {
	return jsonOf(openapi.Tenant{
		Id: l.Genesis.Tenant, Slug: l.Genesis.Slug, Name: l.Genesis.Name, Size: l.Size(), Origin: l.Origin.String(),
		LogKey: l.VerifierKey(), Node: l.Node.ID(), Owner: l.Owner.ID(), CreatedAt: span.FormatTime(l.Clock),
	})
}

func (s *Server) checkpoint(l *Ledger, _ *http.Request) (int, []byte) {
	return http.StatusOK, l.Checkpoint(l.Size())
}

func number(r *http.Request, name string, otherwise uint64) uint64 {
	n, err := strconv.ParseUint(r.URL.Query().Get(name), 10, 64)
	if err != nil || n == 0 {
		return otherwise
	}
	return n
}

func (s *Server) consistency(l *Ledger, r *http.Request) (int, []byte) {
	from, to := number(r, "from", 0), number(r, "to", l.Size())
	if from > to || to > l.Size() {
		return http.StatusBadRequest, Problem(http.StatusBadRequest, "range_invalid")
	}
	return jsonOf(openapi.ConsistencyProof{From: from, To: to, Hashes: texts(l.Consistency(from, to))})
}

func texts(hashes []span.Hash) []string {
	out := make([]string, len(hashes))
	for i, h := range hashes {
		out[i] = h.String()
	}
	return out
}

func (s *Server) bundle(l *Ledger, r *http.Request) (int, []byte) {
	from, to := number(r, "from", 0), number(r, "to", l.Size())
	if from > to || to > l.Size() {
		return http.StatusBadRequest, Problem(http.StatusBadRequest, "bundle_range_invalid")
	}
	return http.StatusOK, l.Bundle(from, to)
}

func (s *Server) list(l *Ledger, _ *http.Request) (int, []byte) {
	page := openapi.EntryPage{}
	for seq := l.Size(); seq > 0; seq-- {
		page.Items, page.Statuses = append(page.Items, l.Opened(seq-1)), append(page.Statuses, openapi.StatusExecuted)
	}
	return jsonOf(page)
}

// Receipt is the receipt of an entry under the newest checkpoint.
func (l *Ledger) Receipt(seq uint64) openapi.Receipt {
	e, size := l.Entries[seq], l.Size()
	return openapi.Receipt{
		Checkpoint: string(l.Checkpoint(size)), Entry: e.Line, LeafHash: e.Leaf.String(),
		Inclusion: openapi.Inclusion{Index: seq, Size: size, Hashes: texts(l.Inclusion(seq, size))},
	}
}

// ReceiptJSON is a node's answer with an entry's receipt.
func (l *Ledger) ReceiptJSON(seq uint64) []byte {
	_, body := jsonOf(l.Receipt(seq))
	return body
}

// RecordJSON is a node's answer with an entry.
func (l *Ledger) RecordJSON(seq uint64) []byte {
	_, body := jsonOf(openapi.Record{Entry: l.Opened(seq), LeafHash: l.Entries[seq].Leaf.String(), Status: openapi.StatusExecuted})
	return body
}

func (s *Server) append(l *Ledger, r *http.Request) (int, []byte) {
	raw, err := io.ReadAll(r.Body)
	require.NoError(l.t, err)
	given, err := span.Parse(raw, span.Limits{})
	require.NoError(l.t, err)
	l.Take(given, &span.Entry{Seq: l.Size(), RecordedAt: given.Time, Span: given.Header, Decision: span.Decision{Outcome: span.OutcomeAllow}})
	return http.StatusCreated, l.ReceiptJSON(l.Size() - 1)
}

func (l *Ledger) find(id string) (seq uint64, found bool) {
	for i, s := range l.Spans {
		if s.ID == id {
			return uint64(i), true
		}
	}
	return 0, false
}

func (s *Server) show(l *Ledger, r *http.Request) (int, []byte) {
	seq, found := l.find(r.PathValue("span"))
	if !found {
		return http.StatusNotFound, Problem(http.StatusNotFound, "span_unknown")
	}
	return http.StatusOK, l.RecordJSON(seq)
}

func (s *Server) receipt(l *Ledger, r *http.Request) (int, []byte) {
	seq, found := l.find(r.PathValue("span"))
	switch {
	case !found:
		return http.StatusNotFound, Problem(http.StatusNotFound, "span_unknown")
	case r.URL.Query().Get("format") != "":
		return http.StatusOK, l.Proof(seq, l.Size()).Marshal()
	}
	return http.StatusOK, l.ReceiptJSON(seq)
}

// feed sends what there is and closes; a lie at /feed gives the messages instead,
// one a line.
func (s *Server) feed(w http.ResponseWriter, r *http.Request) {
	from := number(r, "from", 0)
	s.mu.Lock()
	l := s.ledger
	var messages bytes.Buffer
	fmt.Fprintf(&messages, `{"type":"hello","tenant":%q,"next":%d,"size":%d,"heartbeat_seconds":15}`+"\n", l.Genesis.Tenant, from, l.Size())
	for seq := from; seq < l.Size(); seq++ {
		fmt.Fprintf(&messages, `{"type":"entry","entry":%s,"status":"executed"}`+"\n", l.Opened(seq))
	}
	s.mu.Unlock()
	told := messages.Bytes()
	if lie := s.lie.Load(); lie != nil && strings.HasSuffix(r.URL.Path, lie.At) {
		s.asked.Add(1)
		rec := httptest.NewRecorder()
		lie.Tell(rec, r, told)
		if told = rec.Body.Bytes(); rec.Code != http.StatusOK {
			http.Error(w, string(told), rec.Code)
			return
		}
	}
	up := websocket.Upgrader{Subprotocols: []string{"logline.v1"}}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for line := range bytes.Lines(told) {
		if conn.WriteMessage(websocket.TextMessage, bytes.TrimSpace(line)) != nil {
			return
		}
	}
	_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, ""))
}

// Resigned is a note signed again by a key of somebody's under its own origin.
func (l *Ledger) Resigned(note []byte, change func(*tree.Checkpoint), origin tree.Origin) []byte {
	n, err := tree.ParseNote(note)
	require.NoError(l.t, err)
	c := n.Checkpoint
	c.Origin = origin
	if change != nil {
		change(&c)
	}
	out, err := c.Sign(l.public(l.Log), l.Log.Sign)
	require.NoError(l.t, err)
	return out
}
