package app

import (
	"context"
	"errors"
	"io"
	"os/user"
	"unicode/utf8"

	"github.com/danvoulez/logline/internal/account/oidc"
	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/admin/person"
	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine/tasks/taskstore"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/feed/ticket"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding/flow"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/storage"
)

// work is a node's data with its keys and its way in, and nothing that runs by
// itself: for what an operator does by a command. It is one more process of the node:
// beside servers where timelines are in a database, alone where they are in files.
type work struct {
	*App
	person person.Node
}

// openWork opens a node that is there, and makes none.
func openWork(ctx context.Context, cfg Config, opt Options) (w *work, err error) {
	if err := databaseExists(cfg); err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, opt: opt.filled()}
	a.log = a.opt.Log
	w = &work{App: a}
	if err := w.open(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return w, nil
}

func (w *work) open(ctx context.Context) (err error) {
	if w.masters, err = w.cfg.masters(); err != nil {
		return err
	}
	if w.keeping, err = w.cfg.keeping(); err != nil {
		return err
	}
	// With a server at work it is the server that notes what is given out: what this
	// process commits is beyond that, and the database has it.
	if w.lock, err = storage.LockDir(w.cfg.DataDir); fault.CodeOf(err) == "data_dir_in_use" {
		w.beside = true
	} else if err != nil {
		return err
	}
	if w.db, err = storage.Open(ctx, w.cfg.Database()); err != nil {
		return err
	}
	current, known, err := w.db.SchemaVersion(ctx)
	if err == nil {
		err = schemaFits(current, known)
	}
	if err == nil {
		err = w.notHalf(ctx)
	}
	if err != nil {
		return err
	}
	if owner, err := w.owner(ctx); err != nil {
		return err
	} else if owner == "" {
		return fault.New(fault.Unavailable, "node_missing", "no node has worked on this database yet; set --data-dir or DATABASE_URL to those of the node")
	}
	if err := w.openNode(ctx); err != nil {
		return err
	}
	verify := id.DefaultVerifier()
	directory := id.NewDirectory(w.db, verify, w.opt.Now)
	_, log, err := w.openLog(ctx, verify)
	if err != nil {
		return err
	}
	eng := w.newEngine(log, directory, verify, bus.New(), nil, nil)
	w.own = w.newAdmin(eng, log)
	w.person = person.Node{
		ID: w.node.ID(), Log: log, Engine: eng, Directory: directory, Tasks: taskstore.New(w.db),
		APIKeys:   id.NewAPIKeys(w.db, w.opt.Now, w.opt.Rand, id.APIKeyConfig{}),
		Custody:   id.NewCustody(w.db, w.keeping, directory, w.node.ID(), w.opt.Now, w.opt.Rand),
		Onboarded: flow.New(flow.Deps{DB: w.db}, flow.Config{Now: w.opt.Now}),
		Tickets:   ticket.New(w.db, w.opt.Now, w.opt.Rand),
	}
	if w.person.Accounts, err = w.newAccounts(directory, w.person.Custody, nil); err != nil {
		return err
	}
	w.person.Passkeys = w.newPasskeys(directory, w.person.Accounts, httpapi.Names{})
	// Nobody signs in by a command: links are read, and no provider's secret is needed.
	if w.person.Logins, err = oidc.New(w.db, w.person.Accounts, oidc.Config{Now: w.opt.Now}); err != nil {
		return err
	}
	return nil
}

// find is the LogLine ID of an identity named by it, with or without its scheme, or
// by a handle.
func (w *work) find(ctx context.Context, name string) (string, error) {
	if len(name) > 0 && name[0] == '@' {
		info, err := w.person.Directory.ByHandle(ctx, name)
		return info.ID, err
	}
	if full := span.IdentityScheme + name; span.IsIdentity(full) {
		name = full
	}
	if !span.IsIdentity(name) {
		return "", fault.Newf(fault.Invalid, "identity_malformed", "%.80q is neither a LogLine ID nor an @handle", name)
	}
	info, err := w.person.Directory.Get(ctx, name)
	return info.ID, err
}

// osUser is who runs this program, "" where the system does not say.
func osUser() string {
	u, err := user.Current()
	if err != nil || len(u.Username) > 64 || !utf8.ValidString(u.Username) {
		return ""
	}
	return u.Username
}

// tell records an act of the command. What was done is done: the act is noted, and
// told at once where that is possible.
func (w *work) tell(ctx context.Context, act admin.Act) error {
	act.OSUser = osUser()
	return w.own.Record(context.WithoutCancel(ctx), act)
}

// ErasePerson erases what the node holds of a person, or says what it would where dry
// is set. The reason stands in the redactions, for good.
func ErasePerson(ctx context.Context, cfg Config, opt Options, who, reason string, dry bool) (out person.Erased, err error) {
	w, err := openWork(ctx, cfg, opt)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if who, err = w.find(ctx, who); err != nil {
		return out, err
	}
	if out, err = w.person.Erase(ctx, who, reason, w.NodeID(), dry, w.opt.Now()); err != nil || dry {
		return out, err
	}
	payloads, tasks := 0, 0
	for _, t := range out.Tenants {
		payloads, tasks = payloads+t.Payloads, tasks+t.Tasks
	}
	if payloads+tasks+out.APIKeys+out.Onboarding == 0 && !out.Names && !out.Custody && !out.Account {
		return out, nil // a repeat
	}
	return out, w.tell(ctx, admin.Act{Type: admin.PersonErased, Subject: who, Reason: reason, Facts: map[string]any{
		"tenants": len(out.Tenants), "payloads": payloads, "tasks": tasks, "api_keys": out.APIKeys, "names": out.Names, "custody": out.Custody, "account": out.Account,
	}})
}

// ExportPerson writes what the node holds of a person to where it is given.
func ExportPerson(ctx context.Context, cfg Config, opt Options, who, reason string, to io.Writer) (out person.Report, err error) {
	w, err := openWork(ctx, cfg, opt)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if who, err = w.find(ctx, who); err != nil {
		return out, err
	}
	if out, err = w.person.Export(ctx, to, who, w.opt.Now()); err != nil {
		return out, err
	}
	records := 0
	for _, t := range out.Tenants {
		records += t.Records
	}
	return out, w.tell(ctx, admin.Act{Type: admin.PersonExported, Subject: who, Reason: reason, Facts: map[string]any{"tenants": len(out.Tenants), "records": records}})
}

// Operators are who holds a role in the node's admin timeline.
func Operators(ctx context.Context, cfg Config, opt Options) (list []standing.Member, err error) {
	w, err := openWork(ctx, cfg, opt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	list, err = w.own.Operators(ctx)
	if fault.CodeOf(err) == "admin_timeline_missing" {
		return nil, nil
	}
	return list, err
}

// ChangeOperator gives an identity a role in the node's admin timeline, or takes all
// of its roles there where role is "". It says whether anything changed.
func ChangeOperator(ctx context.Context, cfg Config, opt Options, who, role, reason string) (identity string, changed bool, err error) {
	w, err := openWork(ctx, cfg, opt)
	if err != nil {
		return "", false, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if identity, err = w.find(ctx, who); err != nil {
		return "", false, err
	}
	act := admin.Act{Reason: reason, OSUser: osUser()}
	if err := admin.CheckReason(reason); err != nil {
		return identity, false, err
	}
	if role == "" {
		changed, err = w.own.RemoveOperator(ctx, identity, act)
	} else {
		changed, err = w.own.AddOperator(ctx, identity, role, act)
	}
	if err == nil && changed {
		err = w.own.Tell(ctx)
	}
	return identity, changed, err
}
