package app

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/account/oidc"
	"github.com/danvoulez/logline/internal/account/passkey"
	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/cloudevents"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/engine/tasks/taskstore"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/feed/ticket"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/onboarding/flow"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/rulebook"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/cosign"
	"github.com/danvoulez/logline/internal/webhook/endpoint"
)

// The implementations that the modules' interfaces are given.
var (
	_ timeline.NoteSigner    = (*id.Node)(nil)
	_ engine.Node            = (*id.Node)(nil)
	_ engine.Directory       = (*id.Directory)(nil)
	_ engine.Decider         = rules.Decide
	_ onboarding.TenantMaker = tenantMaker{}
	_ httpapi.Engine         = told{}
	_ httpapi.Log            = (*timeline.Log)(nil)
	_ httpapi.Contracts      = (*rulebook.Book)(nil)
	_ httpapi.Webhooks       = (*endpoint.Book)(nil)
	_ httpapi.Directory      = (*id.Directory)(nil)
	_ httpapi.Custody        = (*id.Custody)(nil)
	_ httpapi.APIKeys        = (*id.APIKeys)(nil)
	_ httpapi.Accounts       = (*account.Service)(nil)
	_ httpapi.Passkeys       = (*passkey.Service)(nil)
	_ httpapi.OIDC           = (*oidc.Service)(nil)
	_ httpapi.Events         = (*cloudevents.Recorder)(nil)
	_ httpapi.Onboarding     = (*onboarding.Service)(nil)
	_ httpapi.Flow           = (*flow.Sessions)(nil)
	_ httpapi.Node           = (*id.Node)(nil)
)

// tenantMaker is what makes timelines, and tells of it, and the log that lists them.
type tenantMaker struct {
	told
	*timeline.Log
}

// wire builds every module that is on and gives each its work.
func (a *App) wire(ctx context.Context) error {
	limits := span.Limits{Header: a.cfg.Limits.Header, Payload: a.cfg.Limits.Payload}
	verify := id.DefaultVerifier()
	directory := id.NewDirectory(a.db, verify, a.opt.Now)
	if err := a.enlistNode(ctx, directory); err != nil {
		return err
	}
	store, log, err := a.openLog(ctx, verify)
	if err != nil {
		return err
	}
	wakeups := bus.New()
	rates, err := a.cfg.rates()
	if err != nil {
		return err
	}
	counting, err := a.newRates()
	if err != nil {
		return err
	}
	gate := quota.NewGate(counting, rates)
	quotas, err := a.newQuotas(log, store, taskstore.New(a.db), counting)
	if err != nil {
		return err
	}
	eng := a.newEngine(log, directory, verify, wakeups, gate, quotas)
	own := a.newAdmin(eng, log)
	a.own = own
	telling := told{eng, own, a.log}
	secret, err := a.node.IDSecret()
	if err != nil {
		return err
	}
	scribe := tasks.NewScribe(eng, log, a.node.ID(), secret)
	sender, endpoints, err := a.newWebhooks()
	if err != nil {
		return err
	}
	var work *labour
	alerts := tasks.NewAlerter(taskstore.New(a.db), scribe, endpoints, sender, func() { work.worker.Wake() }, func() time.Time { return work.worker.Now() })
	board := a.newBoard(wakeups, scribe, alerts.Alert)
	copies, indexer := a.newMirror(store, wakeups, board), a.newIndexer(store, wakeups, board)
	work, err = a.newLabour(eng, log, rulebook.New(log), wakeups, tasks.NewCaller(log, endpoints, sender), board, scribe, alerts)
	if err != nil {
		return err
	}
	a.halts = work.halts
	tenants := onboarding.New(a.db, tenantMaker{telling, log}, onboarding.Config{
		DataDir: a.cfg.DataDir, Token: a.cfg.BootstrapToken.Reveal(), OpenTenants: a.cfg.Tenants == Open, Rand: a.opt.Rand,
	})

	ready := &probe{db: a.db, dirs: []string{a.cfg.databaseDir(), a.cfg.timelineDir()}, node: a.node, verify: verify, engine: eng.Ready, store: a.appends, now: a.opt.Now}
	custody := id.NewCustody(a.db, a.keeping, directory, a.node.ID(), a.opt.Now, a.opt.Rand)
	accounts, err := a.newAccounts(directory, custody, counting)
	if err != nil {
		return err
	}
	sessions := a.newFlow(directory, custody, tenants, log, eng, own, secret)
	post, err := a.newMail()
	if err != nil {
		return err
	}
	codes, err := a.newCodes(directory, post)
	if err != nil {
		return err
	}
	tickets := ticket.New(a.db, a.opt.Now, a.opt.Rand)
	deps := httpapi.Deps{
		Engine: telling, Log: log, Contracts: rulebook.New(log), Tasks: desk{work.store, work}, Backtests: work.backtests, Directory: directory, Onboarding: tenants, Node: a.node, Verifier: verify,
		Flow: sessions, Tickets: tickets, Admin: admin.Office{Timeline: own, Accounts: accounts}, Webhooks: endpoints, Followers: board, News: work.news,
		Custody: custody, Accounts: accounts, APIKeys: id.NewAPIKeys(a.db, a.opt.Now, a.opt.Rand, a.cfg.APIKeys.limits()), Events: cloudevents.NewRecorder(custody, eng, log, a.opt.Now),
		Ready:            ready.Ready,
		Gate:             gate,
		Quotas:           quotas,
		OpenRegistration: a.cfg.OpenRegistration(), Registration: a.cfg.Registers(), ProtectNames: !a.cfg.hereAlone(), PublicURL: a.cfg.publicURL(),
		Invitations: invite.New(a.db, invitedTo{eng, log}, directory, custody, invite.Config{Mail: post, Page: a.cfg.publicURL(), Now: a.opt.Now, Rand: a.opt.Rand}),
		Wakes:       wakeups,
		Limits: httpapi.Limits{
			Span: limits, Concurrent: a.cfg.Limits.Concurrent, Drain: a.cfg.DrainTimeout / 2, Witness: a.cfg.WitnessWait, Bundle: int64(a.cfg.Limits.Bundle),
			Feeds: a.cfg.Limits.Feeds, FeedEntries: a.cfg.Limits.FeedEntries, FeedBytes: a.cfg.Limits.FeedBytes,
			Heartbeat: a.cfg.Feed.Heartbeat, FeedPoll: a.cfg.Feed.Poll, FeedStall: a.cfg.Feed.Stall, FeedSend: a.cfg.Limits.FeedSend,
			Connections: a.cfg.Limits.Connections, ConnectionsOne: a.cfg.Limits.ConnectionsAddress, Room: a.cfg.Limits.Room, Exports: a.cfg.Limits.Exports,
		},
		SpoolDir: a.cfg.DataDir,
		Logger:   a.log, Now: a.opt.Now, Version: a.opt.Version,
	}
	if err := a.guard(&deps); err != nil {
		return err
	}
	deps.Passkeys = a.newPasskeys(directory, accounts, deps.Names)
	if deps.OIDC, err = a.newOIDC(accounts); err != nil {
		return err
	}
	if codes != nil {
		deps.Codes = codes
	}
	if copies != nil {
		deps.MirrorLag = copies.Lag
	}
	if indexer != nil {
		deps.SearchLag = indexer.Lag
	}
	for i, m := range a.modules {
		deps.Modules = append(deps.Modules, m.Name)
		switch m.Name {
		case "timeline": // whoever appends needs it, so that it stops after them
			a.modules[i].Run = func(ctx context.Context, ready func()) error {
				if err := a.obeyOrders(ctx, eng); err != nil {
					return err
				}
				still, err := startBoard(ctx, board)
				if err != nil {
					return err
				}
				defer still()
				stop, err := a.startMirror(ctx, copies)
				if err != nil {
					return err
				}
				defer stop() // after the last commit, as the relay
				defer startIndexer(ctx, indexer)()
				forgo, err := a.startAdmin(ctx, own)
				if err != nil {
					return err
				}
				defer forgo()
				ready()
				defer a.startRelay(ctx, wakeups)()
				return eng.Run(ctx)
			}
		case "engine":
			deps.TaskLag = work.follower.Lag
			a.modules[i].Run = func(ctx context.Context, ready func()) error {
				stop, err := work.start(ctx)
				if err != nil {
					return err
				}
				defer stop()
				return a.bringNode(ctx, eng, ready)
			}
		case "onboarding":
			if err := a.firstRun(ctx, tenants); err != nil {
				return err
			}
			if err := sessions.Prune(ctx); err != nil {
				return err
			}
		case "httpapi": // last in order: deps is complete when this runs
			a.modules[i].Run = func(ctx context.Context, ready func()) error {
				defer beside(ctx, quotas.Run)()
				defer beside(ctx, a.pruning(tickets.Prune))()
				if codes != nil {
					defer beside(ctx, codes.Run)()
				}
				return a.serve(ctx, httpapi.New(deps), ready)
			}
		}
	}
	return nil
}

// obeyOrders does what Options.NewEpoch and Options.RotateKey ask for, before
// anything is served.
func (a *App) obeyOrders(ctx context.Context, eng *engine.Engine) error {
	if err := a.renewEpochs(ctx, eng); err != nil || !a.opt.RotateKey {
		return err
	}
	if err := a.rotateNode(ctx); err != nil {
		return err
	}
	_, err := a.embedNode(ctx, eng)
	return err
}

func (a *App) renewEpochs(ctx context.Context, eng *engine.Engine) error {
	if !a.opt.NewEpoch {
		return nil
	}
	renewed, err := eng.RenewEpochs(ctx, false)
	for _, t := range renewed {
		a.log.WarnContext(ctx, "new epoch: the database was older than the last checkpoint given out",
			slog.String("tenant", t.ID), slog.String("origin", t.Origin), slog.Uint64("size", t.Size))
		if err := admin.NewBook(a.db, a.opt.Now).Add(ctx, admin.Act{Type: admin.EpochOpened, Subject: t.ID, OSUser: osUser(), Facts: map[string]any{"origin": t.Origin, "size": t.Size}}); err != nil {
			return err
		}
	}
	if err == nil && len(renewed) == 0 {
		a.log.InfoContext(ctx, "no timeline needs a new epoch")
	}
	return err
}

// embedNode brings every timeline up to date with the node's key events and
// tells how many could not be reached.
func (a *App) embedNode(ctx context.Context, eng *engine.Engine) (left int, err error) {
	pending, err := eng.EmbedNode(ctx)
	if len(pending) > 0 {
		a.log.WarnContext(ctx, "timelines not reached with the node's key events; they get them before the node's next span there",
			slog.Any("tenants", pending))
	}
	return len(pending), err
}

// Waits between tries to reach what could not be reached.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// bringNode does what a crash may have left undone, whichever process it was:
// it brings the node's key events into every timeline, and goes on trying where
// one cannot be reached.
func (a *App) bringNode(ctx context.Context, eng *engine.Engine, ready func()) error {
	left, err := a.embedNode(ctx, eng)
	if err != nil {
		return err
	}
	ready()
	retry := time.NewTimer(firstRetry)
	defer retry.Stop()
	for wait := firstRetry; left > 0; wait = min(2*wait, lastRetry) {
		retry.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-retry.C:
		}
		if left, err = a.embedNode(ctx, eng); err != nil {
			a.log.WarnContext(ctx, "timelines not looked through for the node's key events", slog.Any("error", err))
			left = 1
		}
	}
	<-ctx.Done()
	return nil
}

// openLog opens the timelines.
func (a *App) openLog(ctx context.Context, verify id.Verifier) (timeline.Store, *timeline.Log, error) {
	store, notes, err := a.openStore(ctx)
	if err != nil {
		return nil, nil, err
	}
	if notes != "" {
		if err := atomicfile.MkdirAll(notes); err != nil {
			return nil, nil, fault.Newf(fault.Unavailable, "data_dir_unusable",
				"the directory %s cannot be created; check its parent's permissions", notes).Because(err)
		}
	}
	if notes != "" && a.notes == "" { // a restore fills the store later
		if err := a.lacksNothing(ctx, store); err != nil {
			a.log.WarnContext(ctx, "a timeline is missing", slog.Any("error", err))
		}
	}
	witnesses, err := a.cfg.witnesses()
	if err != nil {
		return nil, nil, err
	}
	book := cosign.New(a.db, store, cosign.Config{Policy: witnesses, Now: a.opt.Now})
	return store, timeline.NewLog(store, a.node, verify, timeline.Config{Now: a.opt.Now, NotesDir: notes, Witnesses: book, Folder: engine.Folder{}}), nil
}

// newEngine is the way into the timelines.
func (a *App) newEngine(log *timeline.Log, directory *id.Directory, verify id.Verifier, wakeups *bus.Bus, gate engine.Gate, quotas engine.Quotas) *engine.Engine {
	return engine.New(log, directory, verify, rules.Decide, a.node, wakeups, engine.Config{
		Now: a.opt.Now, Rand: a.opt.Rand, Logger: a.log, Limits: span.Limits{Header: a.cfg.Limits.Header, Payload: a.cfg.Limits.Payload},
		MaxBatch: a.cfg.Limits.Batch, QueueLimit: a.cfg.Limits.Queue, QueueBytes: a.cfg.Limits.QueueBytes,
		PastWindow: a.cfg.Window.Past, FutureWindow: a.cfg.Window.Future,
		DrainTimeout: a.cfg.DrainTimeout / 3, Gate: gate, Quotas: quotas,
		Home:     func(ctx context.Context) (string, error) { return onboarding.First(ctx, a.db) },
		Founding: a.founding,
		Halted: func(ctx context.Context, tenant, halted string) {
			if a.halts != nil {
				a.halts.heard(ctx, tenant, halted)
			}
		},
	})
}

// firstRun prepares the bootstrap token and says where it is, never what it is.
func (a *App) firstRun(ctx context.Context, tenants *onboarding.Service) error {
	created, path, err := tenants.FirstRun(ctx)
	if err != nil {
		return err
	}
	switch {
	case created:
		a.log.InfoContext(ctx, "bootstrap token made; it makes the first tenant", slog.String("file", path))
	case path != "":
		a.log.InfoContext(ctx, "no tenant yet; the bootstrap token makes the first one", slog.String("file", path))
	}
	return nil
}

// reachable is an address for people on this machine.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", port)
}
