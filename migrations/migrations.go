// Package migrations embeds the database schema: one folder for each dialect,
// files NNNN_name.sql with the same number and meaning in each. A released
// file is never edited; a change is a new number. internal/storage runs them.
package migrations

import "embed"

// FS holds the folders sqlite and postgres.
//
//go:embed sqlite/*.sql postgres/*.sql
var FS embed.FS
