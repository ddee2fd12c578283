// Package lifecycle starts and stops the modules of one process: those that
// were selected and what they need, in the order of their needs, in reverse at
// the end; one that fails stops all. It knows no module.
package lifecycle

import (
	"context"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
)

// Module is a part of the program that can be switched on and off.
type Module struct {
	Name  string
	About string   // one line for --list-modules
	Needs []string // names of the modules it cannot run without; they come with it

	// What it contributes while it is on, for --list-modules.
	Routes  []string // HTTP routes, mounted where httpapi is on too
	Workers []string // followers and background work

	// Run works until ctx ends, finishes what it has begun and returns nil. It
	// calls ready once others may rely on it. Returning earlier, with an error
	// or without, stops the program. A nil Run is a module without work of its
	// own, ready at once.
	Run func(ctx context.Context, ready func()) error
}

// All is the selection of every module.
const All = "all"

// Select picks from all what a --modules flag names (names separated by
// commas, or "all"), and what those need, in the order they start. An unknown
// name is one error (modules_unknown) that lists the known.
func Select(flag string, all []Module) ([]Module, error) {
	byName := make(map[string]Module, len(all))
	for _, m := range all {
		byName[m.Name] = m
	}
	wanted := make(map[string]bool, len(all))
	var add func(name string)
	add = func(name string) {
		if wanted[name] {
			return
		}
		wanted[name] = true
		for _, need := range byName[name].Needs {
			add(need)
		}
	}
	for name := range strings.SplitSeq(flag, ",") {
		name = strings.TrimSpace(name)
		if name == All {
			for _, m := range all {
				add(m.Name)
			}
			continue
		}
		if _, known := byName[name]; !known {
			return nil, fault.Newf(fault.Invalid, "modules_unknown",
				"there is no module %q; known: %s, or %s", name, strings.Join(names(all), ", "), All)
		}
		add(name)
	}
	var picked []Module
	for _, m := range all {
		if wanted[m.Name] {
			picked = append(picked, m)
		}
	}
	return order(picked)
}

// order sorts modules so that each comes after what it needs, otherwise as
// they were given.
func order(modules []Module) ([]Module, error) {
	out := make([]Module, 0, len(modules))
	placed := make(map[string]bool, len(modules))
	for len(out) < len(modules) {
		before := len(out)
		for _, m := range modules {
			if !placed[m.Name] && !slices.ContainsFunc(m.Needs, func(n string) bool { return !placed[n] }) {
				placed[m.Name] = true
				out = append(out, m)
			}
		}
		if len(out) == before {
			return nil, fault.Newf(fault.Internal, "modules_unordered",
				"modules need each other in a circle, need one that is missing, or share a name: %s",
				strings.Join(names(modules), ", "))
		}
	}
	return out, nil
}

func names(modules []Module) []string {
	out := make([]string, len(modules))
	for i, m := range modules {
		out[i] = m.Name
	}
	return out
}
