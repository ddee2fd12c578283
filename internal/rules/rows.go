package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// The values of rows.
type (
	// contractRow is the version of a contract in force, or of its shadow.
	contractRow struct {
		Version string `json:"version"`
		Hash    string `json:"hash"`
		Seq     uint64 `json:"seq"` // of the entry whose payload has the source
	}
	// flightRow counts the workflow instances that a version began and that are
	// not over.
	flightRow struct {
		Instances int64 `json:"instances"`
	}
	// windowRow is how far back an aggregate is looked at, in milliseconds, by
	// any contract there was: what is older is kept in sum.
	windowRow struct {
		Longest int64 `json:"longest"` // or unbounded
	}
	// versionRow says where the source of a version stands.
	versionRow struct {
		Seq uint64 `json:"seq"`
	}
	workflowRow struct {
		State     string        `json:"state"`
		EnteredAt string        `json:"entered_at"`
		Contract  string        `json:"contract"` // name@version#hash
		Span      string        `json:"span"`     // that moved it last, whose payload its timers see
		Timers    []timerEffect `json:"timers,omitempty"`
		Over      bool          `json:"over,omitzero"` // its state is final
	}
	quotaRow struct {
		Window string `json:"window"`
		Used   int64  `json:"used"`
	}
	trustRow struct {
		Score float64 `json:"score"`
		Rose  string  `json:"rose,omitempty"` // when it last rose
	}
	sumRow struct {
		Count int64  `json:"count"`
		Sum   string `json:"sum"` // exact, in decimals
	}
	approvalRow struct {
		Type       string   `json:"type"`
		Author     string   `json:"author"`
		Subject    string   `json:"subject,omitempty"`
		HeaderHash string   `json:"header_hash"`
		Since      string   `json:"since"`
		Contracts  []string `json:"contracts"`
		Rules      []string `json:"rules"`
		Asks       []ask    `json:"asks"`
		Votes      []vote   `json:"votes,omitempty"`
		Held       *held    `json:"held,omitempty"`
		// Activates, where the span is a logline.contract.
		Activates *activation `json:"activates,omitempty"`
	}
	vote struct {
		By      string    `json:"by"`
		Vote    string    `json:"vote"`
		At      string    `json:"at"`
		Roles   []string  `json:"roles,omitempty"`
		Weights []float64 `json:"weights"`
	}
	activation struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Hash    string `json:"hash"`
		Action  string `json:"action"`
		Seq     uint64 `json:"seq"`
		// Windows of its aggregates.
		Windows map[string]int64 `json:"windows,omitempty"`
	}
	timerRow struct {
		To       string `json:"to,omitempty"`       // of a workflow
		Contract string `json:"contract,omitempty"` // of a task: name@version#hash
		Task     string `json:"task,omitempty"`
		Rule     string `json:"rule,omitempty"`
		Span     string `json:"span,omitempty"` // that the task follows from
		// Run is how far a run is that somebody asked for; that of a due time stands
		// in the schedule's row.
		Run *progress `json:"run,omitempty"`
	}
	scheduleRow struct {
		progress
		At      string `json:"at,omitempty"` // when the clock brings it, where that is not Due
		Paused  bool   `json:"paused,omitzero"`
		Last    string `json:"last,omitempty"`    // when it ran last
		For     string `json:"for,omitempty"`     // the due time of the run that ended last
		Outcome string `json:"outcome,omitempty"` // what came of it
		Span    string `json:"span,omitempty"`    // the entry that tells
	}
)

// Kinds of timers, the part of a timer's key behind the time.
const (
	timerWorkflow = "workflow"
	timerApproval = "approval"
	timerTask     = "task"
	timerRetain   = "retain"
	timerSchedule = "schedule"
)

func contractKey(name string) string    { return contractPrefix + name }
func shadowKey(name string) string      { return shadowPrefix + name }
func versionKey(ref string) string      { return versionPrefix + ref }
func flightKey(ref string) string       { return flightPrefix + ref }
func windowKey(id string) string        { return windowPrefix + id }
func workflowKey(id, key string) string { return workflowPrefix + id + "/" + key }
func quotaKey(contract, name, key string) string {
	return quotaPrefix + contract + "/" + name + "/" + key
}
func trustKey(identity string) string        { return trustPrefix + bare(identity) }
func approvalKey(spanID string) string       { return approvalPrefix + spanID }
func scheduleKey(id string) string           { return schedulePrefix + id }
func timerKey(due, kind, rest string) string { return timerPrefix + due + "/" + kind + "/" + rest }

func bare(identity string) string { return strings.TrimPrefix(identity, span.IdentityScheme) }

// sumPath is the prefix of the rows of one aggregate for one author and
// subject. What users choose is escaped, for it does not come last.
func sumPath(id, author, subject string, byAuthor, bySubject bool) string {
	p := sumPrefix + escape(id) + "/"
	if byAuthor {
		p += escape(bare(author)) + "/"
	}
	if bySubject {
		p += escape(subject) + "/"
	}
	return p
}

// escape leaves no slash in a part of a key.
func escape(part string) string {
	return strings.NewReplacer("%", "%25", "/", "%2F").Replace(part)
}

func sumKey(path, recordedAt string, seq uint64) string {
	return fmt.Sprintf("%s%s/%020d", path, recordedAt, seq)
}

// above is greater than every key that begins with prefix and goes on with a
// time or a slash.
func above(prefix string) string { return prefix + "~" }

// row encodes a value of ours, which always has a form.
func row(key string, value any) standing.Row {
	switch v := value.(type) {
	case workflowRow:
		if b, ok := v.encode(); ok {
			return standing.Row{Key: key, Value: b}
		}
	case flightRow:
		return standing.Row{Key: key, Value: v.encode()}
	}
	b, err := json.Marshal(value)
	if err != nil {
		b = []byte{}
	}
	return standing.Row{Key: key, Value: b}
}

// encode is what json.Marshal makes of the row, which most entries of a workflow
// change; false where a text of it would be escaped or time moves it on.
func (r *workflowRow) encode() ([]byte, bool) {
	const most = len(`{"state":"","entered_at":"","contract":"","span":"","over":true}`)
	size := most
	for _, text := range [...]string{r.State, r.EnteredAt, r.Contract, r.Span} {
		if strings.ContainsFunc(text, escapes) {
			return nil, false
		}
		size += len(text)
	}
	if len(r.Timers) > 0 {
		return nil, false
	}
	b := make([]byte, 0, size)
	b = append(append(b, `{"state":"`...), r.State...)
	b = append(append(b, `","entered_at":"`...), r.EnteredAt...)
	b = append(append(b, `","contract":"`...), r.Contract...)
	b = append(append(b, `","span":"`...), r.Span...)
	b = append(b, '"')
	if r.Over {
		b = append(b, `,"over":true`...)
	}
	return append(b, '}'), true
}

// decode reads what encode writes; false for anything else.
func (r *workflowRow) decode(b []byte) bool {
	text := string(b)
	if strings.IndexByte(text, '\\') >= 0 {
		return false
	}
	var out workflowRow
	ok := true
	take := func(name string) (value string) {
		if text, ok = strings.CutPrefix(text, name); ok {
			value, text, ok = strings.Cut(text, `"`)
		}
		return value
	}
	if out.State = take(`{"state":"`); !ok {
		return false
	}
	if out.EnteredAt = take(`,"entered_at":"`); !ok {
		return false
	}
	if out.Contract = take(`,"contract":"`); !ok {
		return false
	}
	if out.Span = take(`,"span":"`); !ok {
		return false
	}
	if text != "}" && text != `,"over":true}` {
		return false
	}
	out.Over = text != "}"
	*r = out
	return true
}

// escapes says of a character that encoding/json might not write it as it is.
func escapes(r rune) bool {
	return r < ' ' || r > '~' || r == '"' || r == '\\' || r == '<' || r == '>' || r == '&'
}

// encode is what json.Marshal makes of the row.
func (r *flightRow) encode() []byte {
	return append(strconv.AppendInt([]byte(`{"instances":`), r.Instances, 10), '}')
}

// load reads a row into value; false where there is none.
func load(ctx context.Context, s State, key string, value any) (bool, error) {
	b, ok, err := s.Get(ctx, key)
	if err != nil {
		return false, unavailable(err)
	}
	if !ok {
		return false, nil
	}
	return true, decodeRow(key, b, value)
}

func decodeRow(key string, b []byte, value any) error {
	if r, ok := value.(*workflowRow); ok && r.decode(b) {
		return nil
	}
	if err := jsonv2.Unmarshal(b, value); err != nil {
		return fault.Newf(fault.Internal, "state_corrupt", "the stored state row %q cannot be read; rebuild the state from the lines", key).Because(err)
	}
	return nil
}

// unavailable is a failure of the state, which decides nothing.
func unavailable(err error) error {
	return fault.New(fault.Unavailable, "decision_unavailable",
		"the store failed while the span was being decided; nothing was recorded, send it again").After(time.Second).Because(err)
}
