package httpapi_test

import (
	"strings"
	"testing"

	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

const onPostgres = "TestOnPostgres/"

// TestOnPostgres runs the tests of what goes through the store once more, on
// PostgreSQL.
func TestOnPostgres(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"Append": TestAppend, "AppendLines": TestAppendLines, "ExpectedSeq": TestExpectedSeq, "Query": TestQuery, "GetSpan": TestGetSpan,
		"RedactedAndReverted": TestRedactedAndReverted, "RedactedIsNowhere": TestRedactedIsNowhere, "Receipts": TestReceipts, "Proofs": TestProofs,
		"Bundle": TestBundle, "CreateTenant": TestCreateTenant, "ListTenants": TestListTenants, "TenantReads": TestTenantReads,
		"Visibility": TestVisibility, "Register": TestRegister, "KeyEvents": TestKeyEvents, "Credentials": TestCredentials,
		"Permissions": TestPermissions, "TemplatesOnATenant": TestTemplatesOnATenant, "StorageQuota": TestStorageQuota, "SpansQuota": TestSpansQuota, "TasksQuota": TestTasksQuota,
	} {
		t.Run(name, test) // parallel by itself
	}
}

// database is the kind of database that a test's node has.
func database(t testing.TB) string {
	if kind, ok := strings.CutPrefix(t.Name(), onEach); ok {
		return kind
	}
	if strings.HasPrefix(t.Name(), onPostgres) {
		return backend.Postgres
	}
	return backend.SQLite
}
