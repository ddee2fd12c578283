// Package api is what openapi.yaml says, as Go: the models of the HTTP surface
// and the interface its handlers implement. All but this file is generated.
package api

//go:generate go tool -modfile=../../../tools/go.mod oapi-codegen -config oapi-codegen.yaml ../openapi.yaml
