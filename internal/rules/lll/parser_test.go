package lll

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func examples(t testing.TB) map[string]string {
	t.Helper()
	found, err := filepath.Glob("../../../examples/contracts/*.lll")
	require.NoError(t, err)
	require.NotEmpty(t, found)
	texts := make(map[string]string, len(found))
	for _, name := range found {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		texts[filepath.Base(name)] = string(text)
	}
	return texts
}

func TestExamplesParse(t *testing.T) {
	t.Parallel()
	for name, text := range examples(t) {
		file, diags := Parse(name, text)
		require.Empty(t, diags, file.RenderAll(diags))
		require.Len(t, file.Contracts(), 1)
	}
}

func TestReadingAContract(t *testing.T) {
	t.Parallel()
	file, _ := Parse("payments.lll", examples(t)["payments_approval.lll"])
	contract := file.Contracts()[0]
	require.Equal(t, "Nothing above the automatic limit leaves the till without two distinct approvals.", contract.Doc())
	require.Equal(t, "payments.approval", contract.Name())
	require.Equal(t, "1.3.0", contract.After("version").Text)
	requires, ok := contract.Value("requires").Strings()
	require.True(t, ok)
	require.Equal(t, []string{"identity.lifecycle ^1.0"}, requires)

	window, ok := contract.Child("params").Value("window").Duration()
	require.True(t, ok)
	require.Equal(t, 48*time.Hour, window)

	rules := contract.Children("rule")
	require.Len(t, rules, 4)
	priority, ok := rules[0].Value("priority").Int()
	require.True(t, ok)
	require.EqualValues(t, 10, priority)
	code, offset := rules[0].Value("when").Code()
	require.Equal(t, `actor.status in ["ghost", "revoked"]`, code)
	require.Equal(t, Position{13, 11}, file.Pos(offset))

	reject := rules[0].Child("then").Child("reject").Atom(0)
	require.True(t, reject.HasHoles())
	require.Equal(t, "actor.handle", reject.Parts[0].Text)
	require.Equal(t, "actor.handle", file.Slice(reject.Parts[0].Range))

	code, _ = rules[2].Value("when").Code()
	require.Equal(t, "data.amount > params.auto_limit\n       || spans(\"payment.executed\").by(actor.id).within(24h).sum(\"amount\") + data.amount > params.daily_cap", code)
	approval := rules[2].Child("then").Child("require")
	roles, ok := approval.Value("from").Words()
	require.True(t, ok)
	require.Equal(t, []string{"finance", "admin"}, roles)
	require.NotNil(t, approval.Child("on_timeout").Child("reject"))
	require.Equal(t, `data.amount > params.hard_limit * 80% ? "high" : "medium"`, rules[2].Child("then").Child("annotate").Value("risk").Source)
}
