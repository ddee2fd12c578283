package recovery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

const ana = "logline-id://5hjpakgtwztk3a74oqwg2r6x3wa3ddxuf2lkpnq52s2gh3tqwtwa"

var testTime = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func newSheet(t testing.TB, seed [32]byte) *Sheet {
	t.Helper()
	s, err := New(ana, seed, "https://logline.example", testTime)
	require.NoError(t, err)
	return s
}

// counting is the seed 00 01 … 1f.
func counting() (seed [32]byte) {
	for i := range seed {
		seed[i] = byte(i)
	}
	return seed
}

// TestVector: the form stands in docs/recovery.md, for everybody else who prints it.
func TestVector(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../../docs/recovery.md")
	require.NoError(t, err)
	text := newSheet(t, counting()).Text()
	require.Contains(t, string(doc), "    "+strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    "))
}

func TestNoSheetForOtherThings(t *testing.T) {
	t.Parallel()
	_, err := New("@ana", counting(), "", testTime)
	require.Equal(t, "recovery_identity", fault.CodeOf(err))
	for _, node := range []string{"ftp://x", "https://u:p@x", "https://x\nkey: 0", "https://x/?a", "x"} {
		s, err := New(ana, counting(), node, testTime)
		require.NoError(t, err)
		require.NotContains(t, s.Text(), "node:", node)
	}
}

// TestTypedByPeople: what people do when they type a sheet changes nothing.
func TestTypedByPeople(t *testing.T) {
	t.Parallel()
	s := newSheet(t, counting())
	text := s.Text()
	lines := strings.Split(text, "\n")
	for name, typed := range map[string]string{
		"as printed":       text,
		"small letters":    strings.ToLower(text),
		"capitals":         strings.ToUpper(text),
		"letters":          strings.ReplaceAll(strings.ReplaceAll(lines[2]+"\n"+lines[3]+"\n"+lines[4], "0", "o"), "1", "l") + "\n" + lines[1],
		"capital letters":  strings.ReplaceAll(strings.ReplaceAll(lines[2]+"\n"+lines[3]+"\n"+lines[4], "0", "O"), "1", "I") + "\n" + lines[1],
		"digits in the ID": strings.Replace(text, lines[1], strings.ReplaceAll(lines[1], "o", "0"), 1),
		"without scheme":   strings.Replace(text, "logline-id://", "", 1),
		"line ends":        strings.ReplaceAll(text, "\n", "\r\n"),
		"old line ends":    strings.ReplaceAll(text, "\n", "\r"),
		"one long line":    strings.ReplaceAll(text, "\n     ", " "),
		"no spaces":        lines[1] + "\nkey:" + strings.ReplaceAll(strings.Join(s.rows(), ""), " ", ""),
		"hyphens":          lines[1] + "\nkey: " + strings.ReplaceAll(strings.Join(s.rows(), " "), " ", "-"),
		"odd spaces":       "\ufeff" + strings.ReplaceAll(text, " ", "\u00a0 \t"),
		"order":            lines[2] + "\n" + lines[3] + "\n" + lines[4] + "\n\n" + lines[1] + "\n",
		"each row named":   strings.ReplaceAll(text, "\n     ", "\nkey: "),
		"a note":           "Note: in the safe\n" + text + "\nkept: here\n",
		"broken ID":        strings.Replace(text, "5hjpakgt", "\n5hjpakgt\n  ", 1),
	} {
		got, err := Parse([]byte(typed))
		require.NoError(t, err, name)
		require.Equal(t, counting(), got.Seed(), name)
		require.Equal(t, ana, got.Identity, name)
	}
	got, err := Parse([]byte(text))
	require.NoError(t, err)
	require.Equal(t, s, got)
}

// TestMistakesAreFoundWhereTheyAre: one wrong character, an exchange of neighbours
// and of groups name the groups in question, for every place and every character.
func TestMistakesAreFoundWhereTheyAre(t *testing.T) {
	t.Parallel()
	s := newSheet(t, [32]byte([]byte("a seed of thirty two bytes here!")))
	key := strings.ReplaceAll(strings.Join(s.rows(), ""), " ", "")
	refused := func(key, code string, at ...int) {
		t.Helper()
		_, err := Parse([]byte("identity: " + ana + "\nkey: " + key))
		require.Equal(t, code, fault.CodeOf(err), key)
		for _, group := range at {
			require.ErrorContains(t, err, fmt.Sprintf("group %d (row %d, number %d)", group+1, group/6+1, group%6+1))
		}
		require.NotContains(t, err.Error(), key[:8], "an error shows nothing of the key")
	}
	for at := range key {
		for _, other := range alphabet {
			if byte(other) != key[at] {
				refused(key[:at]+string(other)+key[at+1:], "recovery_group", at/4)
			}
		}
		refused(key[:at]+key[at+1:], "recovery_length")
		refused(key[:at]+"U"+key[at+1:], "recovery_character", at/4)
		if at+1 < len(key) && key[at] != key[at+1] && at/4 == (at+1)/4 {
			refused(key[:at]+key[at+1:at+2]+key[at:at+1]+key[at+2:], "recovery_group", at/4)
		}
	}
	for a := range groups {
		for b := a + 1; b < groups; b++ {
			swapped := []byte(key)
			copy(swapped[a*4:], key[b*4:][:4])
			copy(swapped[b*4:], key[a*4:][:4])
			refused(string(swapped), "recovery_group", a, b)
		}
	}
	refused(key+"0", "recovery_length")
	refused(key+strings.Repeat("0", 9999), "recovery_length")
	refused(key[:9]+key[8:], "recovery_length", 2)
}

// TestOtherTexts: what is no sheet, or of somebody else, is told apart.
func TestOtherTexts(t *testing.T) {
	t.Parallel()
	s := newSheet(t, counting())
	for name, c := range map[string][2]string{
		"nothing":           {"", "recovery_sheet_other"},
		"no key":            {"LOGLINE RECOVERY SHEET 1\nidentity: " + ana, "recovery_sheet_other"},
		"no identity":       {"LOGLINE RECOVERY SHEET 1\nkey: 0000", "recovery_sheet_other"},
		"a later form":      {strings.Replace(s.Text(), "SHEET 1", "SHEET 2", 1), "recovery_sheet_other"},
		"another identity":  {strings.Replace(s.Text(), "5hjp", "5hjq", 1), "recovery_checksum"},
		"a short ID":        {strings.Replace(s.Text(), "5hjp", "", 1), "recovery_identity"},
		"two sheets":        {s.Text() + s.Text(), "recovery_identity"},
		"a large file":      {strings.Repeat(" ", MaxSheetBytes+1), "recovery_sheet_large"},
		"a key file":        {`{"logline": "keys", "v": 1}`, "recovery_sheet_other"},
		"not UTF-8 at all":  {"identity: \xff\xfe\nkey: \xff", "recovery_identity"},
		"bytes in the key":  {"identity: " + ana + "\nkey: \xff\xff", "recovery_character"},
		"an empty key line": {"identity: " + ana + "\nkey: \n", "recovery_length"},
	} {
		_, err := Parse([]byte(c[0]))
		require.Equal(t, c[1], fault.CodeOf(err), name)
		require.Equal(t, fault.Invalid, fault.KindOf(err), name)
	}
}

func TestAnySeedComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seed := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		s, err := New(ana, seed, "", testTime)
		require.NoError(t, err)
		back, err := Parse([]byte(s.Text()))
		require.NoError(t, err)
		require.Equal(t, s, back)
	})
}

func TestSheetPrintsWithoutItsSeed(t *testing.T) {
	t.Parallel()
	s := newSheet(t, [32]byte([]byte("a seed of thirty two bytes here!")))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		require.Equal(t, "[secret] of "+ana, fmt.Sprintf(verb, s), verb)
	}
}

// TestPDF: a page that holds the whole key, and is the same each time.
func TestPDF(t *testing.T) {
	t.Parallel()
	s := newSheet(t, counting())
	page, err := s.PDF()
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(page, []byte("%PDF-")))
	again, err := s.PDF()
	require.NoError(t, err)
	require.True(t, bytes.Equal(page, again))
	other, err := newSheet(t, [32]byte{1}).PDF()
	require.NoError(t, err)
	require.False(t, bytes.Equal(page, other))
	require.Contains(t, content(t, page), "("+s.rows()[2]+")")
	require.Contains(t, content(t, page), "("+ana+")")
}

// FuzzParse: what is read as a sheet is one that prints and reads back the same, and
// no sheet with one wrong character is read as another's.
func FuzzParse(f *testing.F) {
	s := newSheet(f, counting())
	f.Add([]byte(s.Text()), uint64(1))
	f.Add([]byte(strings.ToLower(s.Text())), uint64(2))
	f.Add([]byte("key: 0\nidentity:\r"+ana), uint64(3))
	f.Add([]byte("LOGLINE RECOVERY SHEET 9\n"), uint64(4))
	f.Fuzz(func(t *testing.T, src []byte, dice uint64) {
		got, err := Parse(src)
		if err != nil {
			require.Equal(t, fault.Invalid, fault.KindOf(err))
			require.Nil(t, got)
			return
		}
		back, err := Parse([]byte(got.Text()))
		require.NoError(t, err)
		require.Equal(t, got, back)
		key := []byte(strings.Join(got.rows(), ""))
		r := rand.New(rand.NewPCG(dice, 0))
		at := r.IntN(len(key))
		if digit := alphabet[r.IntN(32)]; key[at] != ' ' && key[at] != digit {
			key[at] = digit
			_, err := Parse([]byte("identity: " + got.Identity + "\nkey: " + string(key)))
			require.Equal(t, "recovery_group", fault.CodeOf(err))
		}
	})
}

// TestVectorsOfSheets holds the form to testdata/vectors, which the browser's reader
// passes too (internal/web).
func TestVectorsOfSheets(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("../../../testdata/vectors/recovery-sheet.json")
	require.NoError(t, err)
	var vectors struct {
		Print, Accept, Refuse []struct {
			Why, Text, Identity, Seed, Node, Made, Code, Detail string
			Groups                                              []int
		}
	}
	require.NoError(t, json.Unmarshal(src, &vectors))
	require.NotEmpty(t, vectors.Print)
	for _, v := range append(vectors.Print, vectors.Accept...) {
		s, err := Parse([]byte(v.Text))
		require.NoError(t, err, v.Why)
		seed := s.Seed()
		require.Equal(t, []string{v.Identity, v.Seed, v.Node, v.Made}, []string{s.Identity, span.B64(seed[:]), s.Node, s.Made}, v.Why)
	}
	for _, v := range vectors.Print {
		seed, err := span.ParseB64(v.Seed, 32)
		require.NoError(t, err)
		made, err := span.ParseTime(v.Made)
		require.NoError(t, err)
		s, err := New(v.Identity, [32]byte(seed), v.Node, made)
		require.NoError(t, err)
		require.Equal(t, v.Text, s.Text())
	}
	require.NotEmpty(t, vectors.Refuse)
	for _, v := range vectors.Refuse {
		_, err := Parse([]byte(v.Text))
		require.Equal(t, v.Code, fault.CodeOf(err), v.Why)
		require.Equal(t, v.Detail, fault.From(err).Detail, v.Why)
		for _, at := range v.Groups {
			require.Contains(t, v.Detail, place(at), v.Why)
		}
	}
}
