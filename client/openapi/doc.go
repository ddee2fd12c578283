// Package openapi is the LogLine HTTP surface as generated from its OpenAPI
// document: models and a client with one method for each operation. Package
// client is the friendlier door to the same house.
package openapi

//go:generate go run -modfile=../../tools/go.mod github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen -config oapi-codegen.yaml ../../internal/httpapi/openapi.yaml
