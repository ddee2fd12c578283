package person

import (
	"archive/zip"
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// Report is report.json of an export: what is in it, and what is not, and why.
type Report struct {
	Person  string           `json:"person"` // LogLine ID
	Node    string           `json:"node"`
	MadeAt  string           `json:"made_at"`
	APIKeys int              `json:"api_keys"`
	Account bool             `json:"account"` // a login at the node
	Events  int              `json:"key_events"`
	Tenants []ReportedTenant `json:"tenants"`
	Files   []ReportedFile   `json:"files"`
	LeftOut []LeftOut        `json:"left_out"`
}

// ReportedTenant is what of one timeline is in an export.
type ReportedTenant struct {
	ID       string         `json:"id"`
	Slug     string         `json:"slug"`
	Name     string         `json:"name"`
	Size     uint64         `json:"size"`  // of the checkpoint that the proofs are under
	Roles    []string       `json:"roles"` // now
	Records  int            `json:"records"`
	By       map[string]int `json:"by_relation"`
	Erased   int            `json:"erased"`   // whose payload is gone
	Withheld int            `json:"withheld"` // of others' private records about the person
	Tasks    int            `json:"tasks"`
}

// ReportedFile says what a file of the archive holds.
type ReportedFile struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// LeftOut is something that is not in an export.
type LeftOut struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

var leftOut = []LeftOut{
	{"others' records that mention the person without naming their identity as subject", "they cannot be found by whom they are of, and hold others' data; the owners of the tenants can search for them"},
	{"payloads of others' private records about the person", "they are private to whoever signed them; their headers are here, and the tenant's owner decides"},
	{"payloads that were erased", "they are gone; their headers are here"},
	{"onboarding sessions", "they hold the identity and what is on timelines, no names and no addresses, and end within seven days"},
	{"secrets: API keys themselves, keys in custody, the password, the second factor, tokens of sessions", "the node keeps hashes or what is sealed, and gives it to nobody"},
	{"backups, logs of the server and of what is before it", "they are not the node's data; the operator says what they hold"},
}

// exported is a record in an export: the exact line, whose hash is the leaf that the
// proof is of, and what belongs to it.
type exported struct {
	Relations []string        `json:"relations"`
	Line      string          `json:"line"`
	Status    string          `json:"status"`
	Payload   json.RawMessage `json:"payload,omitempty"`
	Salt      string          `json:"salt,omitempty"`
	Detail    json.RawMessage `json:"detail,omitempty"`
	Withheld  string          `json:"withheld,omitempty"` // redacted or private
	Inclusion inclusion       `json:"inclusion"`
}

type inclusion struct {
	Index  uint64   `json:"index"`
	Size   uint64   `json:"size"`
	Hashes []string `json:"hashes"`
}

// exporting is one export under way.
type exporting struct {
	*Node
	zip *zip.Writer
	out Report
}

// Export writes what the node holds of a person into a zip archive, a page at a time.
// Each record comes with the proof that it is in the timeline whose signed checkpoint
// lies beside it.
func (n *Node) Export(ctx context.Context, w io.Writer, who string, now time.Time) (Report, error) {
	e := &exporting{Node: n, zip: zip.NewWriter(w), out: Report{
		Person: who, Node: n.ID, MadeAt: span.FormatTime(now), Tenants: []ReportedTenant{}, LeftOut: leftOut,
	}}
	if who == n.ID {
		return e.out, fault.New(fault.Invalid, "person_is_node", "this is the node's own identity, and no person's")
	}
	if err := e.directory(ctx); err != nil {
		return e.out, err
	}
	for t, err := range n.tenants(ctx) {
		if err == nil {
			err = e.tenant(ctx, t)
		}
		if err != nil {
			return e.out, err
		}
	}
	e.out.Files = append(e.out.Files, ReportedFile{"report.json", "this report"})
	if err := e.put("report.json", "", e.out); err != nil {
		return e.out, err
	}
	return e.out, e.zip.Close()
}

// put writes one file with a JSON value.
func (e *exporting) put(name, about string, value any) error {
	w, err := e.create(name, about)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

func (e *exporting) create(name, about string) (io.Writer, error) {
	if about != "" {
		e.out.Files = append(e.out.Files, ReportedFile{name, about})
	}
	return e.zip.Create(name)
}

// directory is what the node knows beside timelines.
func (e *exporting) directory(ctx context.Context) error {
	info, err := e.Directory.Get(ctx, e.out.Person)
	if err != nil {
		return err
	}
	events := make([]json.RawMessage, len(info.Events))
	for i, event := range info.Events {
		events[i] = event
	}
	e.out.Events = len(events)
	if err := e.put("identity.json", "handle, name and key events in the node's directory", map[string]any{
		"id": info.ID, "subject": info.Subject, "status": info.Status, "handle": info.Handle, "name": info.Name, "events": events,
	}); err != nil {
		return err
	}
	keys, err := e.apiKeys(ctx, e.out.Person)
	if err != nil {
		return err
	}
	e.out.APIKeys = len(keys)
	if err := e.account(ctx); err != nil {
		return err
	}
	return e.put("api_keys.json", "API keys: what they may do, and when they were made and used, not the keys themselves", keys)
}

// account is the person's login at the node, where there is one.
func (e *exporting) account(ctx context.Context) error {
	a, err := e.Accounts.Get(ctx, e.out.Person)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	sessions, err := e.Accounts.Sessions(ctx, e.out.Person)
	if err != nil {
		return err
	}
	in := make([]map[string]any, len(sessions))
	for i, n := range sessions {
		in[i] = map[string]any{"session": n.ID, "how": n.How, "created_at": n.CreatedAt, "seen_at": n.SeenAt, "expires": n.ExpiresAt, "address": n.Address, "agent": n.Agent}
	}
	passkeys, err := e.Passkeys.List(ctx, e.out.Person)
	if err != nil {
		return err
	}
	keys := make([]map[string]any, len(passkeys))
	for i, p := range passkeys {
		keys[i] = map[string]any{"passkey": p.ID, "name": p.Name, "host": p.Party, "created_at": p.CreatedAt, "used_at": p.UsedAt, "cloned_at": p.ClonedAt}
	}
	linked, err := e.Logins.List(ctx, e.out.Person)
	if err != nil {
		return err
	}
	links := make([]map[string]any, len(linked))
	for i, l := range linked {
		links[i] = map[string]any{"link": l.ID, "issuer": l.Issuer, "subject": l.Subject, "email": l.Email, "created_at": l.CreatedAt, "used_at": l.UsedAt}
	}
	e.out.Account = true
	return e.put("account.json", "login at the node: address, when password and second factor were set, passkeys, links to other providers, and where the person is signed in", map[string]any{
		"identity": a.Identity, "email": a.Email, "email_proven": a.EmailProven, "password_at": a.PasswordAt, "second_factor_at": a.SecondAt,
		"recovery_codes_left": a.CodesLeft, "created_at": a.CreatedAt, "deactivated_at": a.DeactivatedAt, "passkeys": keys, "links": links, "sessions": in,
	})
}

// tenant is what one timeline holds; nothing where that is nothing.
func (e *exporting) tenant(ctx context.Context, t timeline.Tenant) error {
	who := e.out.Person
	note, size, err := e.Log.Checkpoint(ctx, t.ID)
	if err != nil {
		return err
	}
	view, err := e.Log.Standing(ctx, t.ID)
	if err != nil {
		return err
	}
	told := ReportedTenant{ID: t.ID, Slug: t.Slug, Name: t.Name, Size: size, Roles: append([]string{}, view.Roles(who)...), By: map[string]int{}}
	var enc *json.Encoder // made with the first record
	write := func(r *timeline.Record, is []string) error {
		if r.Seq >= size {
			return nil // recorded since
		}
		if enc == nil {
			w, err := e.create("tenants/"+t.ID+"/records.ndjson", "records of the person in "+t.Slug+", each with its proof")
			if err != nil {
				return err
			}
			enc = json.NewEncoder(w)
			enc.SetEscapeHTML(false)
		}
		line, err := e.export(ctx, t.ID, size, r, is)
		if err != nil {
			return err
		}
		told.Records++
		for _, name := range is {
			told.By[name]++
		}
		switch line.Withheld {
		case "redacted":
			told.Erased++
		case "private":
			told.Withheld++
		}
		return enc.Encode(line)
	}
	for records, err := range e.records(ctx, t.ID, who) {
		if err != nil {
			return err
		}
		for i := range records {
			if err := write(&records[i], relations(who, &records[i])); err != nil {
				return err
			}
		}
	}
	for r, err := range e.memberships(ctx, t.ID, who) {
		if err == nil {
			err = write(&r, []string{Member})
		}
		if err != nil {
			return err
		}
	}
	if err := e.tasksOf(ctx, &told); err != nil {
		return err
	}
	if enc == nil && told.Tasks == 0 && len(told.Roles) == 0 {
		return nil
	}
	e.out.Tenants = append(e.out.Tenants, told)
	w, err := e.create("tenants/"+t.ID+"/checkpoint", "signed checkpoint that the proofs of "+t.Slug+" are under")
	if err == nil {
		_, err = w.Write(note)
	}
	return err
}

// export is a record with its proof, without what is another's private matter.
func (e *exporting) export(ctx context.Context, tenant string, size uint64, r *timeline.Record, is []string) (exported, error) {
	_, proof, err := e.Log.Inclusion(ctx, tenant, r.Seq, size)
	if err != nil {
		return exported{}, err
	}
	out := exported{Relations: is, Line: string(r.Line), Status: r.Status, Inclusion: inclusion{r.Seq, size, make([]string, len(proof))}}
	for i, h := range proof {
		out.Inclusion.Hashes[i] = h.String()
	}
	h := &r.Entry.Span
	switch {
	case r.Redacted:
		out.Withheld = "redacted"
	case h.Visibility == span.VisibilityPrivate && h.Author != e.out.Person && h.OnBehalfOf != e.out.Person:
		out.Withheld = "private"
	default:
		out.Payload, out.Salt, out.Detail = r.Payload, r.Salt, r.Detail
	}
	return out, nil
}

// askedFor is a task in an export.
type askedFor struct {
	Task   string          `json:"task"`
	Kind   string          `json:"kind"`
	Name   string          `json:"name"`
	State  string          `json:"state"`
	MadeAt string          `json:"made_at"`
	Input  json.RawMessage `json:"input,omitempty"`
	Output json.RawMessage `json:"output,omitempty"`
}

// tasksOf are the tasks that the person asked for.
func (e *exporting) tasksOf(ctx context.Context, told *ReportedTenant) error {
	var enc *json.Encoder
	for t, err := range e.asked(ctx, told.ID, e.out.Person) {
		if err != nil {
			return err
		}
		if enc == nil {
			w, err := e.create("tenants/"+told.ID+"/tasks.ndjson", "tasks that the person asked for in "+told.Slug)
			if err != nil {
				return err
			}
			enc = json.NewEncoder(w)
		}
		told.Tasks++
		if err := enc.Encode(askedFor{t.ID(), t.Kind, t.Name, t.State.String(), span.FormatTime(t.MadeAt), t.Input, t.Output}); err != nil {
			return err
		}
	}
	return nil
}
