package browser

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// accessible holds a step to what people need who hear it, use the keyboard, or see
// little: one main heading, a name for whatever can be used, and contrast.
func (b *tab) accessible() {
	b.t.Helper()
	for _, role := range []string{"button", "textbox", "radio", "checkbox", "combobox", "link", "form", "navigation"} {
		nodes, err := b.nodes(role, "")
		require.NoError(b.t, err)
		for _, n := range nodes {
			require.NotNil(b.t, n.Name, role)
			require.NotEqual(b.t, `""`, string(n.Name.Value), "a %s without a name on the page %s", role, b.text())
		}
	}
	require.Equal(b.t, 1, eval[int](b, `document.querySelectorAll("h1").length`), "main headings")
	require.Equal(b.t, "en", eval[string](b, `document.documentElement.lang`))
	require.Empty(b.t, eval[string](b, tooFaint), "text that is hard to see")
	require.LessOrEqual(b.t, eval[int](b, `document.documentElement.scrollWidth`), phoneWidth, "the page is wider than a phone")
	require.Empty(b.t, eval[string](b, `[...document.querySelectorAll("button, select, input:not([type=radio], [type=checkbox])")]
		.filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 44).map((e) => e.outerHTML).join("\n")`), "too small to be touched")
}

// tooFaint are the texts whose contrast is below that of WCAG 2.1, 1.4.3 (AA).
const tooFaint = `(() => {
	const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
	const rgba = (colour) => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = colour;
		canvas.fillRect(0, 0, 1, 1);
		return [...canvas.getImageData(0, 0, 1, 1).data];
	};
	const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const c = rgba(getComputedStyle(e).backgroundColor);
			if (c[3] === 255) return c;
		}
		return [255, 255, 255, 255];
	};
	const faint = [];
	for (const e of document.querySelectorAll("body *")) {
		const own = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim() !== "");
		if (!own || !e.checkVisibility() || getComputedStyle(e).clipPath !== "none" || e.closest("#said")) continue;
		const [a, b] = [light(rgba(getComputedStyle(e).color)), light(ground(e))];
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		const size = parseFloat(getComputedStyle(e).fontSize);
		const bold = Number(getComputedStyle(e).fontWeight) >= 700;
		if (contrast < (size >= 24 || (bold && size >= 18.66) ? 3 : 4.5)) faint.push(contrast.toFixed(2) + " " + e.textContent.trim().slice(0, 40));
	}
	return faint.join("\n");
})()`

// Each step can be heard, touched and seen, in the light and in the dark.
func TestThePageIsForEverybody(t *testing.T) {
	t.Parallel()
	s := node(t)
	g := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
	everybody := func() {
		g.t.Helper()
		g.accessible()
		g.dark(true)
		g.accessible()
		g.dark(false)
	}
	g.visit(s.URL + "/onboard#token=" + setupToken(t, s))
	g.heading("Who are you?")
	everybody()
	g.press("button", "Continue")
	g.complains("textbox", "Your name", "Write your name")
	everybody()
	g.fill("Your name", g.name)
	g.press("button", "Continue")
	g.heading("Your organisation")
	everybody()
	g.organise()
	g.heading("Your key, and a way back")
	everybody()
	g.press("radio", "The server, behind a password")
	g.find("textbox", "Password")
	everybody()
	g.press("radio", "This browser")
	g.keepSheet()
	g.heading("Begin with a template")
	everybody()
	g.press("button", "Continue")
	g.heading("Invite somebody")
	g.press("button", "Make an invitation")
	g.find("textbox", "Invitation link 1")
	everybody()
	g.press("button", "Continue")
	g.heading("Your first record")
	everybody()
	g.record("Ana opened the books of Acme.")
	g.heading("See for yourself")
	g.shows("Checked in this browser")
	everybody()
	live := eval[string](g.tab, `[...document.querySelectorAll("[aria-live], [role=status]")].map((e) => e.getAttribute("aria-live") ?? "status").join()`)
	require.Equal(t, "assertive,polite,status", strings.TrimSpace(live), "what changes is said")
}
