// Package web holds the pages that a node serves to people, as they are: HTML,
// CSS and ES modules in static, with no build step and nothing from elsewhere.
// It knows neither HTTP nor what a node holds; internal/httpapi serves it. What
// is in static/lib checks keys, spans, proofs and checkpoints in the browser and
// trusts no server: it passes the vectors of testdata/vectors.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

//go:embed static
var static embed.FS

// Asset is one file of a page.
type Asset struct {
	Body []byte
	Type string // media type
	ETag string // strong validator, quoted (RFC 9110 §8.8.3)
}

// Assets are the files by their path below the pages, such as "lib/tree.js". It
// is read alone, and safe for concurrent use.
type Assets map[string]Asset

// types are the media types of what static holds, by the ending of a name.
func types() map[string]string {
	return map[string]string{
		".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
		".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}
}

// Load reads all files, which are part of the program.
func Load() (Assets, error) {
	out, known := Assets{}, types()
	err := fs.WalkDir(static, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := static.ReadFile(name)
		if err != nil {
			return err
		}
		kind, ok := known[path.Ext(name)]
		if !ok {
			return fmt.Errorf("%s has no media type: add it to types", name)
		}
		sum := sha256.Sum256(body)
		out[strings.TrimPrefix(name, "static/")] = Asset{Body: body, Type: kind, ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
		return nil
	})
	return out, err
}
