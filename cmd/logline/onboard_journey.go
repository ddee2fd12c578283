package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/importer/remote"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/span"
)

// journey is one way through onboarding: the node's session, which knows what is
// done, and what is asked of its steps.
type journey struct {
	env     *environment
	all     *profiles
	path    string // of what is kept between runs
	saved   savedJourney
	asks    bool // somebody answers at a terminal
	renamed bool // the flags give another handle or name than an earlier run registered

	p          profile
	token      string // bootstrap token, "" for none
	keys       *id.Keys
	passphrase string
	client     *client.Client
	steps      map[string]client.OnboardingStep
	tenant     client.Tenant
	receipt    *checkedReceipt
	invited    []*client.Invitation // by the drafts, in their order
}

// savedJourney is what another run goes on with. The file is for its owner alone: the
// token opens the node's session.
type savedJourney struct {
	Node      string  `json:"node,omitempty"`
	Session   string  `json:"session,omitempty"`
	Token     string  `json:"token,omitempty"`
	Whole     bool    `json:"whole,omitempty"` // all steps are to be done
	Asked     bool    `json:"asked,omitempty"`
	SheetMade bool    `json:"sheet_made,omitempty"`
	FirstID   string  `json:"first_id,omitempty"` // of the first span, and its time: so that it is the same again
	FirstTime string  `json:"first_time,omitempty"`
	Answers   answers `json:"answers"`

	Drafts []invitationDraft `json:"invitations,omitempty"`
}

// load reads what an earlier run has kept, and says whether there is any.
func (j *journey) load(path string) (found bool, err error) {
	j.path = path
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &j.saved)
	}
	if err != nil {
		return false, fault.Newf(fault.Invalid, "onboarding_unreadable", "%s cannot be read; remove it to begin anew: what is done at the node stays done", path).Because(err)
	}
	return true, nil
}

func (j *journey) save() error {
	raw, err := json.MarshalIndent(&j.saved, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(filepath.Dir(j.path)); err != nil {
		return fileError("write", j.path, err)
	}
	return writeFileAtomic(j.path, append(raw, '\n'))
}

// connect asks the node who it is, and how far the session of an earlier run is.
func (j *journey) connect(ctx context.Context) error {
	c, err := dial(j.env, j.p, nil)
	if err != nil {
		return err
	}
	node, err := c.Node(ctx)
	if err != nil {
		return err
	}
	if j.p.Node = node.Id; j.saved.Session != "" && j.saved.Node == node.Id {
		s, err := c.Onboarding(ctx, j.saved.Session, j.saved.Token)
		if err == nil {
			j.know(s)
			return nil
		}
		if client.CodeOf(err) != "onboarding_token_invalid" { // that: it has expired
			return err
		}
	}
	j.saved.Session, j.saved.Token = "", ""
	return nil
}

func (j *journey) know(s *client.OnboardingSession) {
	j.steps = map[string]client.OnboardingStep{}
	for _, step := range s.Steps {
		j.steps[string(step.Step)] = step
	}
}

func (j *journey) isOver(step string) bool {
	s := j.steps[step].Status
	return s == "done" || s == "skipped"
}

// put does a step, unless it is over.
func (j *journey) put(ctx context.Context, step string, body any) error {
	if j.isOver(step) {
		return nil
	}
	done, err := j.client.PutOnboardingStep(ctx, j.saved.Session, j.saved.Token, step, body)
	if err != nil {
		return err
	}
	j.steps[step] = *done
	return nil
}

// play does what is open, one step after the other.
func (j *journey) play(ctx context.Context) (err error) {
	if j.client, err = dial(j.env, j.p, j.keys); err != nil {
		return err
	}
	if j.saved.Session == "" {
		s, err := j.client.BeginOnboarding(ctx, "terminal")
		if err != nil {
			return err
		}
		j.know(s)
		j.saved.Node, j.saved.Session, j.saved.Token = s.Node, s.Id, s.Token
	}
	if err := j.save(); err != nil {
		return err
	}
	if err := j.whoYouAre(ctx); err != nil {
		return err
	}
	if err := j.takeTenant(ctx); err != nil {
		return err
	}
	if !j.saved.Whole {
		return nil
	}
	for _, step := range []func(context.Context) error{j.recovery, j.template, j.invitations, j.firstSpan, j.prove} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// forget removes what is kept between runs: all is done, and said.
func (j *journey) forget() error {
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError("remove", j.path, err)
	}
	return nil
}

// invitation is the token of the invitation, "" for none.
func (j *journey) invitation() string {
	if j.saved.Answers.Invite == "" {
		return ""
	}
	_, token, err := invite.ParseLink(j.saved.Answers.Invite)
	if err != nil {
		return "" // it was checked when it was given
	}
	return token.Reveal()
}

// whoYouAre registers the identity.
func (j *journey) whoYouAre(ctx context.Context) error {
	a := &j.saved.Answers
	keeps := func() {
		fmt.Fprintln(j.env.Stderr, "Your identity was registered before and keeps the handle and name it has there.")
	}
	if j.isOver("identity") {
		if j.renamed {
			keeps()
		}
		return nil
	}
	token, err := j.client.Token(ctx)
	if err != nil {
		return err
	}
	body := client.OnboardingIdentity{
		Events: remote.Registration(j.keys, "", "").Events, Token: token, Handle: a.Handle, Name: a.Name, Admission: firstOf(j.invitation(), j.token),
	}
	err = j.put(ctx, "identity", body)
	if client.CodeOf(err) == remote.CodeIdentityConflict && a.Handle+a.Name != "" {
		// An earlier attempt registered it: that must not keep the tenant from being made.
		body.Handle, body.Name = "", ""
		if err = j.put(ctx, "identity", body); err == nil {
			keeps()
		}
	}
	return err
}

// takeTenant makes the tenant, or joins one, and has the profile work with it.
func (j *journey) takeTenant(ctx context.Context) error {
	a := &j.saved.Answers
	days, err := a.days()
	if err != nil {
		return err
	}
	body := client.OnboardingTenant{Slug: a.Slug, Name: firstOf(a.TenantName, a.Slug), PublicReading: a.PublicReading, RetentionDays: days, Admission: j.token}
	if token := j.invitation(); token != "" {
		body = client.OnboardingTenant{Invitation: token}
	}
	if err := j.signed(ctx, "tenant", body); err != nil {
		return err
	}
	if j.steps["tenant"].Joined { // which leaves less to do
		s, err := j.client.Onboarding(ctx, j.saved.Session, j.saved.Token)
		if err != nil {
			return err
		}
		j.know(s)
	}
	if t := j.steps["tenant"].Tenant; t != nil {
		j.tenant = *t
	}
	j.p.Tenant, j.p.Slug, j.p.LogKey = j.tenant.Id, j.tenant.Slug, j.tenant.LogKey
	return j.all.put(j.p, true)
}

// signed does a step that ends with spans to sign, and signs those that are missing.
func (j *journey) signed(ctx context.Context, step string, body any) error {
	if err := j.put(ctx, step, body); err != nil || j.isOver(step) {
		return err
	}
	tenant := j.p.Tenant
	if t := j.steps[step].Tenant; t != nil {
		tenant = t.Id
	}
	for _, d := range j.steps[step].Drafts {
		if !d.Missing {
			continue
		}
		sealed, err := j.seal(span.Header{
			ID: d.Id, Tenant: tenant, Type: d.Type, Title: d.Title, Subject: d.Subject, Tags: d.Tags, Visibility: string(d.Visibility),
		}, d.Payload)
		if err != nil {
			return err
		}
		if _, err := j.client.Append(ctx, tenant, sealed.Canonical()); err != nil && client.CodeOf(err) != codeIDConflict {
			return err
		}
	}
	if err := j.put(ctx, step, body); err != nil || j.isOver(step) {
		return err
	}
	return fault.Newf(fault.Conflict, "onboarding_step_open", "the node does not find the spans of the step %s on the timeline, though it took them; run it again, and look at `logline list`", step)
}

// seal signs a span whose id is chosen: the same again, for the same payload hash.
func (j *journey) seal(h span.Header, payload []byte) (*span.Span, error) {
	canonical, err := span.Canonicalize(payload)
	if err != nil {
		return nil, err
	}
	h.Author, h.Status = j.keys.ID(), span.StatusExecuted
	if h.Time == "" {
		h.Time = span.FormatTime(j.env.Now())
	}
	return id.SealSpan(j.keys.Signer(), h, canonical, importer.Salt(j.keys.Secret(), h.ID))
}

// recovery writes the recovery sheet.
func (j *journey) recovery(ctx context.Context) error {
	a := &j.saved.Answers
	if j.isOver("recovery") {
		return nil
	}
	if !wants(a.Sheet) {
		return j.put(ctx, "recovery", client.OnboardingRecovery{Method: "none"})
	}
	if !j.saved.SheetMade {
		if err := j.writeSheet(); err != nil {
			return err
		}
		j.saved.SheetMade = true
		if err := j.save(); err != nil {
			return err
		}
	}
	return j.put(ctx, "recovery", client.OnboardingRecovery{Method: "sheet"})
}

// writeSheet writes the sheet, unless a run that was cut off has written this very one.
func (j *journey) writeSheet() error {
	f := j.sheetFlags()
	if err := f.check(); err != nil {
		sheet, unread := readSheet(j.env, j.saved.Answers.Sheet)
		if unread != nil || takeSheet(j.keys, sheet) != nil {
			return err
		}
		return nil
	}
	if _, err := f.give(j.env, j.p, j.keys, j.passphrase); err != nil {
		return err
	}
	f.told(j.env)
	return nil
}

func (j *journey) template(ctx context.Context) error {
	if name := j.saved.Answers.Template; wants(name) {
		return j.signed(ctx, "template", client.OnboardingTemplate{Template: name})
	}
	return j.put(ctx, "template", client.OnboardingTemplate{Skip: true})
}

// firstSpan appends the first span and checks its receipt. A reader who appends
// nothing checks the newest entry's instead.
func (j *journey) firstSpan(ctx context.Context) error {
	if j.steps["first_span"].Status == "skipped" {
		return j.newest(ctx)
	}
	if j.saved.FirstID == "" {
		now := j.env.Now()
		name, err := span.RandomID(now, rand.Reader)
		if err != nil {
			return err
		}
		j.saved.FirstID, j.saved.FirstTime = name, span.FormatTime(now)
		if err := j.save(); err != nil {
			return err
		}
	}
	payload, err := json.Marshal(map[string]string{"text": firstOf(j.saved.Answers.Text, "hello")})
	if err != nil {
		return err
	}
	sealed, err := j.seal(span.Header{
		ID: j.saved.FirstID, Tenant: j.p.Tenant, Type: "note.written", Title: "First span", Time: j.saved.FirstTime, Visibility: span.VisibilityOrganization,
	}, payload)
	if err != nil {
		return err
	}
	answer, err := j.client.Append(ctx, j.p.Tenant, sealed.Canonical())
	if err != nil {
		return err
	}
	if answer.Receipt == nil {
		return badReceipt
	}
	if j.receipt, err = checkReceipt(*answer.Receipt, sealed.ID, sealed.Hash(), j.p.LogKey); err != nil {
		return err
	}
	return j.put(ctx, "first_span", client.OnboardingFirstSpan{Span: sealed.ID})
}

var badReceipt = fault.New(fault.Unavailable, "receipt_missing", "the node answered without a receipt; run it again")

// newest checks the receipt of the newest entry that one may read.
func (j *journey) newest(ctx context.Context) error {
	page, err := j.client.Query(ctx, j.p.Tenant, client.Filter{Descending: true, Limit: 1})
	if err != nil {
		return err
	}
	if len(page.Items) == 0 {
		return fault.New(fault.NotFound, "entry_missing", "there is no entry that you may read yet; run it again when there is one")
	}
	entry, err := parseEntry(page.Items[0])
	if err != nil {
		return err
	}
	receipt, err := j.client.Receipt(ctx, j.p.Tenant, entry.Span.ID)
	if err != nil {
		return err
	}
	j.receipt, err = checkReceipt(*receipt, entry.Span.ID, span.Hash{}, j.p.LogKey)
	return err
}

// prove tells the node what was verified here.
func (j *journey) prove(ctx context.Context) error {
	r := j.receipt
	return j.put(ctx, "proof", client.OnboardingProof{Seq: r.Inclusion.Index, LeafHash: r.LeafHash, Root: r.checkpoint.Root.String(), Size: r.checkpoint.Size})
}

// told prints what there is now.
func (j *journey) told(asJSON bool) error {
	if asJSON {
		out := map[string]any{"profile": j.p, "tenant": j.tenant}
		if j.receipt != nil {
			out["receipt"] = j.receipt.json()
		}
		if len(j.invited) > 0 {
			invited, err := j.invitedJSON()
			if err != nil {
				return err
			}
			out["invitations"] = invited
		}
		return printJSON(j.env.Stdout, out)
	}
	a := &j.saved.Answers
	fmt.Fprintf(j.env.Stdout, "Ready: profile %q is now the current one.\n", j.p.Name)
	facts(j.env.Stdout, "tenant", j.tenant.Slug+"  "+j.tenant.Id, "identity", j.p.Identity, "key file", j.p.KeyFile, "node", j.p.URL,
		"role", j.steps["tenant"].Role, "template", j.steps["template"].Template, "retention", a.Retention, "recovery", j.steps["recovery"].Method)
	if j.receipt == nil {
		fmt.Fprintf(j.env.Stdout, "\nNext: logline append --type note.written --payload '{\"text\": \"hello\"}'\n")
		return nil
	}
	fmt.Fprintln(j.env.Stdout, "\nVerified here, without trusting the node:")
	j.receipt.print(j.env, "")
	if err := j.toldInvited(); err != nil {
		return err
	}
	fmt.Fprintf(j.env.Stdout, "\nNext: logline list, logline verify, logline append --type note.written --payload '{\"text\": \"hello\"}'\n")
	return nil
}
