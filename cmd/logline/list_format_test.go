package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// pageOf is a page of signed entries with these titles, payloads withheld.
func pageOf(t testing.TB, next string, titles ...string) *client.Page {
	t.Helper()
	p := &client.Page{}
	for i, title := range titles {
		var e entryView
		e.Seq = uint64(i)
		e.Span.Title, e.Span.Type, e.Span.Withheld = title, "note.written", "private"
		e.Span.Tags = []string{"a,b", strings.ToValidUTF8(title, "\ufffd")}
		e.Span.Title = e.Span.Tags[1]
		key := id.NewSecretKey([32]byte{1})
		e.Span.Signature = span.Signature{Key: key.Public(), Value: span.B64(key.Sign(e.Span.Header.Message()))}
		raw, err := json.Marshal(e)
		require.NoError(t, err)
		p.Items = append(p.Items, raw)
		p.Statuses = append(p.Statuses, "executed")
	}
	if next != "" {
		p.Next = &next
	}
	return p
}

func TestFormatsOfNoEntries(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		formatTable: "No entries match.\n", formatNDJSON: "", formatJSON: `{"items":[],"next":null,"statuses":[]}` + "\n",
		formatCSV: strings.Join(csvColumns, ",") + "\n",
	} {
		var b bytes.Buffer
		w := newListWriter(&b, format, false, 0, nil)
		require.NoError(t, w.page(&client.Page{}))
		require.NoError(t, w.end())
		require.Equal(t, want, b.String(), format)
	}
}

func TestPagesBecomeOneJSONObject(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := newListWriter(&b, formatJSON, false, 0, nil)
	require.NoError(t, w.page(pageOf(t, "c1", "one", "two")))
	require.NoError(t, w.page(pageOf(t, "c2", "three")))
	require.NoError(t, w.end())
	var got client.Page
	require.NoError(t, json.Unmarshal(b.Bytes(), &got))
	require.Len(t, got.Items, 3)
	require.Len(t, got.Statuses, 3)
	require.Equal(t, "c2", *got.Next)
}

func TestAWriterRefusesWhatWasAltered(t *testing.T) {
	t.Parallel()
	for from, to := range map[string]string{
		`"withheld":"private"`: `"withheld":""`,
		`"title":"one"`:        `"title":"two"`,
	} {
		p := pageOf(t, "", "one")
		altered := bytes.Replace(p.Items[0], []byte(from), []byte(to), 1)
		require.NotEqual(t, string(p.Items[0]), string(altered))
		p.Items[0] = bytes.Replace(altered, []byte(`"payload":null`), []byte(`"payload":{"a":1}`), 1)
		for _, format := range formats {
			var b bytes.Buffer
			require.ErrorContains(t, newListWriter(&b, format, false, 0, nil).page(p), "not the one that was signed", format)
		}
	}
}

// FuzzCSV: whatever a title holds, the file has the columns it says, no cell is
// a formula, and raw cells are the title.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"=1+1", "+1", "-1", "@x", "\t=1", "\r\n=1", "＝1", "a\",b\n=c", "", "'=x", "\ufeff=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, title string) {
		page := pageOf(t, "", title)
		var e entryView
		require.NoError(t, json.Unmarshal(page.Items[0], &e))
		for _, raw := range []bool{false, true} {
			var b bytes.Buffer
			w := newListWriter(&b, formatCSV, raw, 0, nil)
			require.NoError(t, w.page(page))
			require.NoError(t, w.end())
			rows, err := csv.NewReader(&b).ReadAll()
			require.NoError(t, err)
			require.Len(t, rows, 2)
			require.Equal(t, csvColumns, rows[0])
			if raw {
				require.Equal(t, strings.ReplaceAll(e.Span.Title, "\r\n", "\n"), rows[1][9])
				continue
			}
			for _, cell := range rows[1] {
				require.False(t, strings.ContainsAny(strings.ToUpper(firstRune(cell)), "=+-@\t\r＝＋－＠"), "%q", cell)
			}
		}
	})
}

func firstRune(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}
