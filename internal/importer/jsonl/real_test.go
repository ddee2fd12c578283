package jsonl

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// testData is the folder of real events.
func testData(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("LOGLINE_TEST_DATA")
	if _, err := os.Stat(filepath.Join(dir, "truth.json")); dir == "" || err != nil {
		t.Skip("no folder of sample histories: set LOGLINE_TEST_DATA")
	}
	return dir
}

// auditEvents are the sample's events that may come from this log type and
// have the member that tells its form from others'.
func auditEvents(t *testing.T, logType, member string) [][]byte {
	t.Helper()
	f, err := os.Open(filepath.Join(testData(t), "panther-audit", "events.jsonl.gz"))
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	var events [][]byte
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a struct {
			LogTypes []string        `json:"log_types"`
			Event    json.RawMessage `json:"event"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &a))
		var members map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(a.Event, &members))
		if slices.Contains(a.LogTypes, logType) && members[member] != nil {
			events = append(events, a.Event)
		}
	}
	require.NoError(t, lines.Err())
	return events
}

// The ready maps against real records. The samples are cut down to what a
// detection rule looks at, so that some have no id or no time: every record
// must do with a map that takes undated ones, and the map as it ships must
// reject the undated ones and no other.
func TestReadyMapsOnRealRecords(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		logType, member         string
		events, dated           int
		own, authors, anonymous int      // ids of the record's own; distinct authors; records without one
		types                   []string // some of them
	}{
		"cloudtrail":       {logType: "AWS.CloudTrail", member: "eventName", events: 464, dated: 448, own: 410, authors: 127, anonymous: 15, types: []string{"aws.iam.create_user", "aws.s3.put_bucket_policy", "aws.signin.console_login"}},
		"github":           {logType: "GitHub.Audit", member: "action", events: 113, dated: 79, own: 24, authors: 32, anonymous: 8, types: []string{"github.repo.create", "github.team.destroy"}},
		"okta":             {logType: "Okta.SystemLog", member: "uuid", events: 78, dated: 68, own: 78, authors: 17, anonymous: 7, types: []string{"okta.user.session.start", "okta.user.mfa.factor.reset_all"}},
		"kubernetes-audit": {logType: "Amazon.EKS.Audit", member: "verb", events: 177, dated: 15, own: 23, authors: 32, anonymous: 31, types: []string{"kubernetes.pods.create", "kubernetes.pods.exec.create"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := auditEvents(t, c.logType, c.member)
			src, err := ReadySource(name)
			require.NoError(t, err)
			items, rejects := importLines(t, parseMap(t, string(src)), events...)
			for _, r := range rejects {
				require.True(t, strings.HasPrefix(r.Reason, "time: "), r.Reason)
			}
			dated := len(items)

			undated := strings.Replace(string(src), "\ntime: ", "\nundated: true\ntime: try (", 1)
			undated = strings.Replace(undated, "totime\n", "totime) catch null\n", 1)
			items, rejects = importLines(t, parseMap(t, undated), events...)
			require.Empty(t, rejects)
			own, anonymous := 0, 0
			authors, types := map[string]bool{}, map[string]bool{}
			for i, item := range items {
				var record any
				require.NoError(t, json.Unmarshal(events[i], &record))
				if item.SourceID != digest(record) {
					own++
				}
				if item.Actor == "" {
					anonymous++
				} else {
					authors[item.Actor] = true
				}
				types[item.Type] = true
				header := strings.Join(append([]string{item.Title, item.Subject, item.Type}, item.Tags...), " ")
				require.NotContains(t, header, "@", "no address enters a header")
			}
			for _, typ := range c.types {
				require.Contains(t, types, typ)
			}
			t.Logf("%d events, %d dated, %d own, %d authors, %d anonymous, %d types", len(events), dated, own, len(authors), anonymous, len(types))
			require.Equal(t, []int{c.events, c.dated, c.own, c.authors, c.anonymous},
				[]int{len(events), dated, own, len(authors), anonymous})
		})
	}
}

// What the ready maps make of the forms that records are delivered in.
func TestReadyMapsOnDeliveredForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ mapping, line, items string }{
		{"cloudtrail", `{"Records":[{"eventID":"e1","eventTime":"2026-01-01T00:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","userIdentity":{"arn":"arn:aws:iam::1:user/ana"},"recipientAccountId":"1","awsRegion":"eu-west-1"},{"eventID":"e2","eventTime":"2026-01-01T00:00:01Z"}]}`,
			"e1 aws.s3.get_object arn:aws:iam::1:user/ana 1 [region:eu-west-1]; e2 aws.unknown.event   []"},
		{"github", `[{"id":"22","type":"PushEvent","actor":{"id":5,"login":"ana"},"repo":{"id":7,"name":"ana/x"},"created_at":"2026-01-01T00:00:00Z","org":{"id":9}}]`,
			"22 github.push_event ana 7 [org:9]"},
		{"github", `{"_document_id":"d","action":"repo.create","actor":"ana","@timestamp":1700000000123,"repo_id":7,"org_id":9,"operation_type":"create"}`,
			"d github.repo.create ana 7 [operation:create org:9]"},
		{"kubernetes-audit", `{"kind":"EventList","items":[{"auditID":"a","stage":"ResponseComplete","verb":"create","user":{"username":"ana"},"objectRef":{"resource":"pods","subresource":"exec","uid":"u-1"},"responseStatus":{"code":201},"stageTimestamp":"2026-01-01T00:00:00.000000Z"}]}`,
			"a/ResponseComplete kubernetes.pods.exec.create ana u-1 [code:201 stage:ResponseComplete]"},
		{"okta", `[{"uuid":"u","published":"2026-01-01T00:00:00Z","eventType":"user.session.start","actor":{"id":"00u","displayName":"Ana"},"target":[{"id":"t-1"}],"outcome":{"result":"SUCCESS"},"severity":"INFO"}]`,
			"u okta.user.session.start 00u t-1 [outcome:success severity:info]"},
		{"cloudevents", `[{"specversion":"1.0","id":"1","source":"/shop","type":"com.example.OrderPlaced","time":"2026-01-01T00:00:00Z","subject":"o-1","authid":"ana"},{"specversion":"1.0","id":"2","source":"/shop","type":"X"}]`,
			"/shop 1 com.example.order_placed ana o-1 []; /shop 2 x   []"},
	} {
		m, err := LoadMap(c.mapping)
		require.NoError(t, err)
		items, rejects := importLines(t, m, []byte(c.line))
		require.Empty(t, rejects, c.mapping)
		var got []string
		for _, item := range items {
			got = append(got, fmt.Sprintf("%s %s %s %s %v", item.SourceID, item.Type, item.Actor, item.Subject, item.Tags))
		}
		require.Equal(t, c.items, strings.Join(got, "; "), c.mapping)
	}
}
