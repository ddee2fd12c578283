package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/httpapi"
)

func newVersionCmd(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			if asJSON {
				return json.NewEncoder(env.Stdout).Encode(map[string]string{"version": v.Version, "commit": v.Commit, "go": v.Go})
			}
			_, err := io.WriteString(env.Stdout, versionLine())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON for programs")
	return cmd
}

// versionLine is the version for people.
func versionLine() string {
	v := buildVersion()
	return fmt.Sprintf("logline %s (commit %s, %s, %s/%s)\n", v.Version, firstOf(v.Commit, "unknown"), v.Go, runtime.GOOS, runtime.GOARCH)
}

// version is set by the linker (-X main.version=…) where the Go tool cannot see
// the repository, and by nothing else.
var version string

// buildVersion is what is known of this binary.
func buildVersion() httpapi.Version {
	info, _ := debug.ReadBuildInfo()
	return versionOf(version, info)
}

// versionOf is what the linker was told and, where that is nothing, what the Go
// tool has recorded (nil: nothing either).
func versionOf(linked string, info *debug.BuildInfo) httpapi.Version {
	v := httpapi.Version{Version: firstOf(linked, "dev"), Go: runtime.Version()}
	if info == nil {
		return v
	}
	if linked == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			v.Commit += "+changes"
		}
	}
	return v
}
