package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for something to show, at most.
const patience = 45 * time.Second

// wait asks again until something is so.
func (b *tab) wait(what string, so func() (bool, error)) {
	b.t.Helper()
	deadline, again := time.NewTimer(patience), time.NewTicker(15*time.Millisecond)
	defer deadline.Stop()
	defer again.Stop()
	for {
		ok, err := so()
		if ok {
			return
		}
		select {
		case <-deadline.C:
			require.Fail(b.t, "waited in vain", "%s (%v); the page says:\n%s\nand went wrong:\n%s", what, err, b.text(), b.errors)
		case <-again.C:
		}
	}
}

// named are the elements that a screen reader calls so. An empty role or name is any.
func (b *tab) named(role, name string) ([]cdp.BackendNodeID, error) {
	nodes, err := b.nodes(role, name)
	out := make([]cdp.BackendNodeID, len(nodes))
	for i, n := range nodes {
		out[i] = n.BackendDOMNodeID
	}
	return out, err
}

// nodes are what a screen reader knows of those elements.
func (b *tab) nodes(role, name string) ([]*accessibility.Node, error) {
	root, err := chromedp.Call(b.ctx, dom.GetDocument, dom.GetDocumentParams{})
	if err != nil {
		return nil, err
	}
	found, err := chromedp.Call(b.ctx, accessibility.QueryAXTree, accessibility.QueryAXTreeParams{NodeID: root.Root.NodeID, Role: role, AccessibleName: name})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found.Nodes, func(n *accessibility.Node) bool { return n.Ignored }), nil
}

// complains waits until a screen reader says of a field that it is wrong, and why;
// the field has the focus then.
func (b *tab) complains(role, name, why string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("the field %q to complain: %s", name, why), func() (bool, error) {
		found, err := b.nodes(role, name)
		if err != nil || len(found) != 1 || found[0].Description == nil {
			return false, err
		}
		said := map[string]string{}
		for _, p := range found[0].Properties {
			said[string(p.Name)] = string(p.Value.Value)
		}
		return strings.Contains(string(found[0].Description.Value), why) && said["invalid"] == `"true"` && said["focused"] == "true", nil
	})
}

// find waits for the one element of a role and name.
func (b *tab) find(role, name string) cdp.BackendNodeID {
	b.t.Helper()
	var one cdp.BackendNodeID
	b.wait(fmt.Sprintf("a %s called %q", role, name), func() (bool, error) {
		found, err := b.named(role, name)
		if len(found) != 1 {
			return false, fmt.Errorf("%d found: %w", len(found), err)
		}
		one = found[0]
		return true, nil
	})
	return one
}

// press clicks an element where it is seen: what covers it would get the click.
func (b *tab) press(role, name string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("to press the %s called %q", role, name), func() (bool, error) {
		found, err := b.named(role, name)
		if err != nil || len(found) != 1 {
			return false, fmt.Errorf("%d found: %w", len(found), err)
		}
		if err := call(b, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: found[0]}); err != nil {
			return false, err
		}
		box, err := chromedp.Call(b.ctx, dom.GetContentQuads, dom.GetContentQuadsParams{BackendNodeID: found[0]})
		if err != nil || len(box.Quads) == 0 {
			return false, err
		}
		q := box.Quads[0]
		return true, chromedp.Do(b.ctx, chromedp.MouseClickXY((q[0]+q[4])/2, (q[1]+q[5])/2))
	})
}

// fill types text into a field in the place of what is there.
func (b *tab) fill(name, text string) {
	b.t.Helper()
	field := b.find("textbox", name)
	b.call("focus", call(b, dom.Focus, dom.FocusParams{BackendNodeID: field}))
	eval[chromedp.Void](b, `document.activeElement.select()`)
	if text == "" {
		b.key("\b")
		return
	}
	b.call("type", call(b, input.InsertText, input.InsertTextParams{Text: text}))
}

// key presses a key, as chromedp's kb names them.
func (b *tab) key(key string) {
	b.t.Helper()
	b.call("key", chromedp.Do(b.ctx, chromedp.KeyEvent(key)))
}

// text is what the page shows.
func (b *tab) text() string {
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body?.innerText ?? ""`))
	if err != nil {
		return err.Error()
	}
	return v
}

// shows waits for words on the page.
func (b *tab) shows(words string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("the words %q", words), func() (bool, error) { return strings.Contains(b.text(), words), nil })
}

// heading waits for the step whose heading this is, which has the focus then.
func (b *tab) heading(words string) {
	b.t.Helper()
	b.find("heading", words)
	b.wait("the focus to be on the heading "+words, func() (bool, error) {
		return eval[string](b, `document.activeElement?.textContent ?? ""`) == words, nil
	})
}

// picture writes what the top of the page shows, where LOGLINE_TEST_PICTURES names a
// folder.
func (b *tab) picture(name string) {
	b.t.Helper()
	eval[chromedp.Void](b, `scrollTo(0, 0)`)
	b.snap(name)
}

// snap writes what is on the screen.
func (b *tab) snap(name string) {
	b.t.Helper()
	dir := os.Getenv("LOGLINE_TEST_PICTURES")
	if dir == "" || name == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
}

// dark has the page see that the person likes it dark.
func (b *tab) dark(on bool) {
	b.t.Helper()
	value := "light"
	if on {
		value = "dark"
	}
	b.call("colours", call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}},
	}))
}

// paper has the page see that it is printed.
func (b *tab) paper() {
	b.t.Helper()
	b.call("paper", call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}))
}
