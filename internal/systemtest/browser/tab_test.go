package browser

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// The window of a phone, in CSS pixels.
const (
	phoneWidth  = 390
	phoneHeight = 844
)

// chromium is the one browser of all tests, started by the first that needs it.
// TestMain ends it.
var chromium = sync.OnceValues(func() (context.Context, error) {
	path := os.Getenv("LOGLINE_TEST_CHROMIUM")
	options := append(chromedp.DefaultExecAllocatorOptions[:len(chromedp.DefaultExecAllocatorOptions):len(chromedp.DefaultExecAllocatorOptions)], chromedp.ExecPath(path))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // root has none; what it opens here is ours
	}
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(allocator)
	endChromium = func() { end(); endAllocator() }
	return ctx, chromedp.Do(ctx)
})

var endChromium = func() {}

// tab is one window, as big as a phone's, with storage of its own.
type tab struct {
	t      *testing.T
	ctx    context.Context
	errors *said // what the page said went wrong
}

// open opens a window on an empty page, or skips the test.
func open(t *testing.T) *tab {
	t.Helper()
	if os.Getenv("LOGLINE_TEST_CHROMIUM") == "" {
		t.Skip("LOGLINE_TEST_CHROMIUM is not set: make test finds or installs a Chromium (scripts/browser.sh)")
	}
	browser, err := chromium()
	require.NoError(t, err)
	ctx, end := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	b := &tab{t: t, ctx: ctx, errors: &said{}}
	require.NoError(t, chromedp.Do(ctx))
	require.NoError(t, chromedp.Listen(ctx, b.errors.hear))
	b.call("the window's size", call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: phoneWidth, Height: phoneHeight, DeviceScaleFactor: 1, Mobile: true,
	}))
	return b
}

func call[P, R any](b *tab, cmd cdp.Command[P, R], p P) error {
	_, err := chromedp.Call(b.ctx, cmd, p)
	return err
}

func (b *tab) call(what string, err error) {
	b.t.Helper()
	require.NoError(b.t, err, what)
}

// visit opens an address.
func (b *tab) visit(url string) {
	b.t.Helper()
	b.call("visit", chromedp.Do(b.ctx, chromedp.Navigate(url)))
}

// eval is the value of an expression in the page, a promise's once it is there.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err, expression)
	return v
}
