package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/danvoulez/logline/internal/app"
)

// tellNext prints commands that work as they stand.
func (f *demoFlags) tellNext(s *session, result *demoResult) {
	env, file := s.env, shellWord(result.File)
	logline := programName()
	if f.exit {
		fmt.Fprintln(env.Stdout, "\nTry next")
	} else {
		fmt.Fprintln(env.Stdout, "\nTry next, in another terminal")
	}
	lines := []string{}
	if !f.exit {
		profile := ""
		if s.all.Current != demoName {
			profile = " --profile " + demoName
		}
		lines = append(lines,
			logline+" list"+profile,
			logline+" why"+profile+" "+result.newest,
			logline+" append"+profile+` --type note.written --payload '{"text": "hello"}'`,
			"curl "+s.profile.URL+"/v1/tenants/"+s.profile.Tenant+"/checkpoint",
		)
	}
	lines = append(lines,
		logline+" verify "+file,
		`sed '$s/"time":"2/"time":"3/' `+file+" | "+logline+" verify -    # change one byte, be told which line",
	)
	for _, line := range lines {
		fmt.Fprintln(env.Stdout, "  "+line)
	}
	if f.exit {
		fmt.Fprintln(env.Stdout, "  "+logline+" demo"+f.given()+"    # the same again, and it keeps serving")
		return
	}
	fmt.Fprintf(env.Stdout, "\nServing on %s until Ctrl-C.\n", s.profile.URL)
}

// given repeats the flags that say where the demo works.
func (f *demoFlags) given() string {
	words := ""
	if f.dataDir != app.Defaults().DataDir {
		words += " --data-dir " + shellWord(f.dataDir)
	}
	if f.repo != "." {
		words += " --repo " + shellWord(f.repo)
	}
	return words
}

// programName is what to type to run this program.
func programName() string {
	path, err := os.Executable()
	switch {
	case err != nil:
		return "logline"
	case strings.Contains(path, "go-build"):
		return "go run ./cmd/logline"
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
			return "./" + rel
		}
	}
	return "logline"
}

func indent(s, by string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(by + line)
	}
	return b.String()
}

// shellWord is s as one word of a shell command.
func shellWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
