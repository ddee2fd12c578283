package jsonl

import (
	"embed"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
)

//go:embed maps/*.yaml
var ready embed.FS

// ReadyNames lists the maps that ship with the program.
func ReadyNames() []string {
	entries, _ := fs.ReadDir(ready, "maps") // it is in the program
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// ReadySource gives the text of a map that ships with the program.
func ReadySource(name string) ([]byte, error) {
	if !mapName.MatchString(name) {
		return nil, errNoMap(name)
	}
	src, err := ready.ReadFile("maps/" + name + ".yaml")
	if err != nil {
		return nil, errNoMap(name)
	}
	return src, nil
}

// LoadMap reads the map that ships under this name, or else the map file there.
func LoadMap(nameOrFile string) (*Map, error) {
	if src, err := ReadySource(nameOrFile); err == nil {
		return ParseMap(src)
	}
	info, err := os.Stat(nameOrFile)
	if err != nil || !info.Mode().IsRegular() {
		return nil, errNoMap(nameOrFile)
	}
	if info.Size() > maxMap {
		return nil, mapFault("", nil, "%s has more than %d bytes", nameOrFile, maxMap)
	}
	src, err := os.ReadFile(nameOrFile)
	if err != nil {
		return nil, errNoMap(nameOrFile).Because(err)
	}
	return ParseMap(src)
}

func errNoMap(name string) *fault.Error {
	return fault.Newf(fault.NotFound, "map_unknown", "there is no map %q: neither a file, nor one of %s",
		cut(printable(name)), strings.Join(ReadyNames(), ", "))
}
