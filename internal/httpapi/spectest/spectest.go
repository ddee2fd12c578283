// Package spectest holds the answers that tests get against the API's document,
// internal/httpapi/openapi.yaml: status, content type and content, a stream line
// by line. It serves tests alone and has no part in the program.
package spectest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Spec is the document, ready to check with. It is safe for concurrent use.
type Spec struct {
	Document *openapi3.T

	router   routers.Router
	mu       sync.Mutex // guards compiler and schemas
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by JSON Pointer
}

const documentURL = "https://logline.invalid/openapi.json"

// Load reads the document; tests share one.
var Load = sync.OnceValues(load)

func load() (*Spec, error) {
	path, err := find()
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	doc.Servers = nil // tests listen where they can
	router, err := legacy.NewRouter(doc)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	content, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020) // what OpenAPI 3.1 writes its schemas in
	if err := compiler.AddResource(documentURL, content); err != nil {
		return nil, err
	}
	return &Spec{Document: doc, router: router, compiler: compiler, schemas: map[string]*jsonschema.Schema{}}, nil
}

// find looks for the document from the working directory upwards: tests run in
// the directory of their package.
func find() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, "internal", "httpapi", "openapi.yaml")
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, err
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("internal/httpapi/openapi.yaml is not above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

// schema is the compiled schema at a JSON Pointer of the document.
func (s *Spec) schema(pointer string) (*jsonschema.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.schemas[pointer]; known != nil {
		return known, nil
	}
	made, err := s.compiler.Compile(documentURL + "#" + pointer)
	if err == nil {
		s.schemas[pointer] = made
	}
	return made, err
}

// CheckSchema holds one JSON text against a schema of the document's components.
func (s *Spec) CheckSchema(name string, body []byte) error {
	return s.check("/components/schemas/"+name, body)
}

func (s *Spec) check(pointer string, body []byte) error {
	schema, err := s.schema(pointer)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	return schema.Validate(v)
}

func escape(token string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
}
