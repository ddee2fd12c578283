package guards

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Run runs the guard's test on the tree at dir without the guard's lines, and
// is an error unless the test fails as the guard says. The tree is not touched:
// the compiler is shown another file in place of the guarded one, also where the
// test builds the program by itself.
func (g *Guard) Run(ctx context.Context, dir string) error {
	source, _, err := g.Without(os.DirFS(dir))
	if err != nil {
		return err
	}
	output, err := g.test(ctx, dir, source)
	said := strings.Join(strings.Fields(output), " ")
	var failed *exec.ExitError
	switch {
	case err == nil && strings.Contains(output, "--- SKIP"):
		return fmt.Errorf("%s: the test was skipped:\n%s", g.Where, end(output))
	case err == nil:
		return fmt.Errorf("%s: %s passes without the line of %s: it does not guard it\n%s", g.Where, g.Test, g.File, end(output))
	case !errors.As(err, &failed):
		return fmt.Errorf("%s: %w", g.Where, err)
	case strings.Contains(output, "[build failed]") || strings.Contains(output, "[setup failed]") || strings.Contains(output, "build cmd/logline:"):
		return fmt.Errorf("%s: the code does not build without the line; put another in its place:\n%s", g.Where, end(output))
	case !strings.Contains(said, strings.Join(strings.Fields(g.Says), " ")):
		return fmt.Errorf("%s: the test fails, but does not say %q:\n%s", g.Where, g.Says, end(output))
	}
	return nil
}

func (g *Guard) test(ctx context.Context, dir string, source []byte) (string, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp("", "logline-guard-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	changed := filepath.Join(temp, filepath.Base(g.File))
	overlay := filepath.Join(temp, "overlay.json")
	shown, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, filepath.FromSlash(g.File)): changed}})
	if err == nil {
		err = os.WriteFile(changed, source, 0o600)
	}
	if err == nil {
		err = os.WriteFile(overlay, shown, 0o600)
	}
	if err != nil {
		return "", err
	}
	args := slices.Concat([]string{"test", "-v", "-vet=off", "-count=1", "-short", "-timeout=5m", "-run", pattern(g.Test)}, g.Flags, []string{"./" + g.Package})
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -tags=grpcnotrace -overlay="+overlay)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// pattern makes -run take the test alone.
func pattern(test string) string {
	name, sub, nested := strings.Cut(test, "/")
	if nested {
		return "^" + name + "$/" + sub
	}
	return "^" + name + "$"
}

// end is as much of a test's output as a person reads.
func end(output string) string {
	const most = 2500
	if len(output) > most {
		return "…" + output[len(output)-most:]
	}
	return output
}
