// Package openapi is the LogLine HTTP surface as generated from its OpenAPI
// document: models and a client with one method for each operation. Package
// client is the friendlier door to the same house.
package openapi

//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config oapi-codegen.yaml ../../internal/httpapi/openapi.yaml
