package expr

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ledger answers questions and notes them.
type ledger struct {
	asked  []string
	values map[string]float64
	err    error
}

func (l *ledger) Aggregate(a *Aggregate, args Args) (float64, error) {
	key := fmt.Sprintf("%d %s %s by=%s subject=%s within=%s", a.Op, a.Pattern, a.Field, args.By, args.Subject, args.Within)
	l.asked = append(l.asked, key)
	return l.values[key], l.err
}

func (l *ledger) Identity(id string) (*Identity, error) {
	l.asked = append(l.asked, "identity "+id)
	if id != "logline-id://rui" {
		return nil, l.err
	}
	return &Identity{ID: id, Status: "ghost", Handle: "@rui", Trust: 12}, l.err
}

func (l *ledger) State(workflow, key string) (string, error) {
	l.asked = append(l.asked, "state "+workflow+" "+key)
	if key == "p1" {
		return "submitted", l.err
	}
	return "", l.err
}

func compile(t testing.TB, place Place, want Type, source string) *Program {
	t.Helper()
	p, errs := Compile(source, 0, want, scopeOf(t, place))
	require.NoError(t, asError(errs), source)
	return p
}

// What a program asks is known when it is compiled, and is asked with the
// values of its filters.
func TestAggregates(t *testing.T) {
	t.Parallel()
	const source = `spans("payment.executed").by(actor.id).within(24h).sum("amount") + data.amount > params.limit
		and spans("payment.*").subject(data.id).within(params.window).count() >= 3
		and spans("a.**").within(now - entered_at).by("logline-id://" + "rui").count() == 0`
	p := compile(t, Guard, Bool, source)
	type question struct {
		op                            Op
		pattern, field                string
		byAuthor, bySubject, windowed bool
		within                        time.Duration
		text                          string
	}
	var got []question
	for _, a := range p.Aggregates() {
		got = append(got, question{a.Op, a.Pattern, a.Field, a.ByAuthor, a.BySubject, a.Windowed, a.Within, source[a.Offset:a.End]})
	}
	require.Equal(t, []question{
		{Sum, "payment.executed", "amount", true, false, true, 24 * time.Hour, `spans("payment.executed").by(actor.id).within(24h).sum("amount")`},
		{Count, "payment.*", "", false, true, true, 48 * time.Hour, `spans("payment.*").subject(data.id).within(params.window).count()`},
		{Count, "a.**", "", true, false, true, 0, `spans("a.**").within(now - entered_at).by("logline-id://" + "rui").count()`},
	}, got)

	l := &ledger{values: map[string]float64{"0 payment.*  by= subject=p1 within=48h0m0s": 3}}
	f := facts(t)
	f.Supplier = l
	yes, err := p.Bool(Bind(f))
	require.NoError(t, err)
	require.True(t, yes)
	require.Equal(t, []string{
		"1 payment.executed amount by=logline-id://ana subject= within=24h0m0s",
		"0 payment.*  by= subject=p1 within=48h0m0s",
		"0 a.**  by=logline-id://rui subject= within=50h0m0s",
	}, l.asked)
}

// Nothing is asked that does not decide.
func TestQuestionsAreAskedWhenTheyDecide(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	f := facts(t)
	f.Supplier = l
	in := Bind(f)
	yes, err := compile(t, Condition, Bool, `data.amount > 1000 || spans("a").count() > 1`).Bool(in)
	require.NoError(t, err)
	require.True(t, yes)
	require.Empty(t, l.asked)
}

func TestIdentityAndState(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	f := facts(t)
	f.Supplier = l
	in := Bind(f)
	p := compile(t, Condition, Bool, `identity("logline-id://rui").trust < 20 and state("payment", data.id) == "submitted" and state("payment", "other") == ""`)
	require.True(t, p.Identities())
	require.Equal(t, []string{"payment"}, p.Workflows())
	yes, err := p.Bool(in)
	require.NoError(t, err)
	require.True(t, yes)
	require.Equal(t, []string{"identity logline-id://rui", "state payment p1", "state payment other"}, l.asked)

	_, err = compile(t, Condition, Bool, `identity(data.id).status == "ghost"`).Bool(in)
	requireReason(t, err, Missing)
	require.False(t, compile(t, Condition, Bool, `data.amount > 1`).Identities())
}

// A supplier's failure is told apart and kept, and a value that is no number is
// not taken for one.
func TestSupplierFailures(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	f := facts(t)
	f.Supplier = &ledger{err: down}
	in := Bind(f)
	for _, source := range []string{`spans("a").count() > 1`, `identity("logline-id://rui").trust > 1`, `state("w", "k") == ""`} {
		_, err := compile(t, Condition, Bool, source).Bool(in)
		requireReason(t, err, Unsupplied)
		require.ErrorIs(t, err, down)
		f.Supplier = nil
		_, err = compile(t, Condition, Bool, source).Bool(Bind(f))
		requireReason(t, err, Defect)
	}
	_, err := compile(t, Condition, Bool, `spans("a").within(now - now).count() > 1`).Bool(in)
	requireReason(t, err, Undefined)
	_, err = compile(t, Condition, Bool, `spans("a").by(data.amount).count() > 1`).Bool(in)
	requireReason(t, err, Mismatch)
}

func requireReason(t *testing.T, err error, reason Reason) {
	t.Helper()
	var failed *EvalError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, reason, failed.Reason, failed.Message)
}
