// Package api is what openapi.yaml says, as Go: the models of the HTTP surface,
// the interface its handlers implement, and which module each route belongs to.
// All but this file and the generator of the routes is generated.
package api

//go:generate go run -modfile=../../../tools/go.mod github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen -config oapi-codegen.yaml ../openapi.yaml
//go:generate go run routes.go
