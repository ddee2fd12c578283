package httpapi

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/account/oidc"
	"github.com/danvoulez/logline/internal/account/passkey"
	"github.com/danvoulez/logline/internal/cloudevents"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/engine/backtests"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/feed"
	"github.com/danvoulez/logline/internal/feed/ticket"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding/flow"
	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/rulebook"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
	"github.com/danvoulez/logline/internal/webhook"
	"github.com/danvoulez/logline/internal/webhook/endpoint"
)

// Engine is the one way in: everything that writes to a timeline.
// *engine.Engine implements it.
type Engine interface {
	// Submit decides and appends one span; raw is kept as received.
	Submit(ctx context.Context, tenant string, raw []byte, opt engine.Options) engine.Result
	// SubmitMany decides and appends lines, answering one result each, in order.
	SubmitMany(ctx context.Context, tenant string, lines [][]byte) []engine.Result
	// Simulate tries spans together and records nothing.
	Simulate(ctx context.Context, tenant string, lines [][]byte) (*engine.Simulation, error)
	// EmbedEvent takes one key event into the directory and into every timeline
	// that holds the identity; pending names the timelines it could not reach.
	EmbedEvent(ctx context.Context, identity string, event []byte) (info id.Info, pending []string, err error)
	// EmbedHeld is EmbedEvent for an identity in custody: keep takes the event
	// into the directory together with the keys it leaves.
	EmbedHeld(ctx context.Context, identity string, event []byte, keep func(context.Context) (id.Info, error)) (info id.Info, pending []string, err error)
	// Schedules are those of a tenant's contracts in force; only is
	// contract/schedule, or "" for all.
	Schedules(ctx context.Context, tenant, only string) ([]rules.Scheduled, error)
	// ChangeSchedule pauses a schedule, resumes it or lets it run now, as by says
	// whose right to it was checked, and records that.
	ChangeSchedule(ctx context.Context, tenant, schedule, action, by string) (rules.Scheduled, error)
	// Import takes over a bundle of another node's timeline.
	Import(ctx context.Context, bundle io.Reader, opt timeline.ImportOptions) (timeline.Imported, error)
}

// Tenants finds timelines and the standing at their heads.
type Tenants interface {
	Tenant(ctx context.Context, idOrSlug string) (timeline.Tenant, error)
	Tenants(ctx context.Context, after string, limit int) ([]timeline.Tenant, error)
	// Holding lists the ids of the tenants whose timelines hold an identity.
	Holding(ctx context.Context, identity string) ([]string, error)
	// Knows says whether a timeline holds an identity, at the same cost where there
	// is no such tenant.
	Knows(ctx context.Context, tenant, identity string) (bool, error)
	Standing(ctx context.Context, tenant string) (standing.View, error)
	Stats(ctx context.Context, tenant string) (timeline.Stats, error)
}

// Entries reads entries and what they led to; a span the reader may not see
// answers exactly like one that does not exist.
type Entries interface {
	Get(ctx context.Context, tenant, spanID string) (timeline.Record, error)
	Query(ctx context.Context, tenant string, q timeline.Query, r standing.Reader) (timeline.Page, error)
	Trace(ctx context.Context, tenant, spanID string, dir timeline.Direction, depth int, r standing.Reader) (timeline.Graph, error)
	Why(ctx context.Context, tenant, spanID string, r standing.Reader) (timeline.Why, error)
	Export(ctx context.Context, w io.Writer, tenant string, from, to uint64, r standing.Reader) error
	ExportCosigned(ctx context.Context, w io.Writer, tenant string, from uint64, r standing.Reader) error
}

// Proofs answers from the Merkle tree; none of it holds content.
type Proofs interface {
	Receipt(ctx context.Context, tenant string, seq uint64) (timeline.Receipt, error)
	Checkpoint(ctx context.Context, tenant string) (note []byte, size uint64, err error)
	Inclusion(ctx context.Context, tenant string, index, size uint64) (leaf span.Hash, proof []span.Hash, err error)
	Consistency(ctx context.Context, tenant string, from, to uint64) ([]span.Hash, error)
	// Witnessed says whether there are witnesses to wait for; Cosign takes the
	// cosignatures of a checkpoint; the other two are of the smallest and the
	// newest checkpoint that has enough of them.
	Witnessed() bool
	Cosign(ctx context.Context, tenant string, note []byte) (dressed []byte, news bool, err error)
	CosignedReceipt(ctx context.Context, tenant string, seq uint64, wait bool) (timeline.Receipt, error)
	CosignedCheckpoint(ctx context.Context, tenant string) ([]byte, error)
	// Tile is the bytes of a tile; of entries it holds every header.
	Tile(ctx context.Context, tenant string, t tree.Tile) ([]byte, error)
}

// Log is the reading side of the timelines. *timeline.Log implements it.
type Log interface {
	Tenants
	Entries
	Proofs
	feed.Source
}

// Contracts reads which contracts a timeline has had. *rulebook.Book implements it.
type Contracts interface {
	Versions(ctx context.Context, tenant string) ([]rulebook.Version, error)
	// Named are the versions of one contract, at least one; not_found
	// contract_unknown.
	Named(ctx context.Context, tenant, name string) ([]rulebook.Version, error)
	// Because explains a recorded decision, as of now, a time in the form of
	// recorded_at.
	Because(ctx context.Context, tenant string, rec *timeline.Record, view standing.View, now string) (*rulebook.Because, error)
}

// Admin is what operators of the node may do, and who they are. admin.Office
// implements it.
type Admin interface {
	IsOperator(ctx context.Context, identity string) (bool, error)
	// HaltTenant suspends, resumes or closes a tenant, named by id, for an operator,
	// and says which entry of its timeline tells so.
	HaltTenant(ctx context.Context, tenant, action, reason, by string) (entry uint64, err error)
	// SetAccount lets an account's person in, or keeps them out, for an operator.
	SetAccount(ctx context.Context, identity, operator, osUser, reason string, active bool) error
}

// Webhooks are a tenant's, which it takes by id. *endpoint.Book implements it.
type Webhooks interface {
	List(ctx context.Context, tenant string) ([]endpoint.Webhook, error)
	// Set gives the secret of a webhook that it makes, and "" where there was one.
	Set(ctx context.Context, tenant, name, address, by string) (w endpoint.Webhook, secret string, err error)
	Rotate(ctx context.Context, tenant, name string, grace time.Duration, by string) (w endpoint.Webhook, secret string, err error)
	Delete(ctx context.Context, tenant, name string) (endpoint.Webhook, error)
	Test(ctx context.Context, tenant, name string) (messageID string, r webhook.Result, err error)
}

// Backtests takes requests for them. *backtests.Service implements it.
type Backtests interface {
	Ask(ctx context.Context, tenant, by string, r backtests.Request) (tasks.Task, error)
	AskReplay(ctx context.Context, tenant, by string, r backtests.ReplayRequest) (tasks.Task, error)
}

// Followers are what reads timelines by cursor, by tenant id. *followers.Board
// implements it.
type Followers interface {
	List(ctx context.Context, tenant string) ([]followers.Status, error)
	Get(ctx context.Context, tenant, name string) (followers.Status, error)
	Pause(ctx context.Context, tenant, name, by string) (followers.Status, error)
	Resume(ctx context.Context, tenant, name, by string) (followers.Status, error)
	Requeue(ctx context.Context, tenant, name, by string) (followers.Status, error)
	Skip(ctx context.Context, tenant, name string, entry uint64, by string) (followers.Status, error)
	// Measure is how those of this process stand in all timelines.
	Measure() []followers.Measure
}

// Directory knows the identities at this node. *id.Directory implements it.
type Directory interface {
	Register(ctx context.Context, events [][]byte, handle, name string) (id.Info, bool, error)
	Get(ctx context.Context, identity string) (id.Info, error)
	ByHandle(ctx context.Context, handle string) (id.Info, error)
	Chain(ctx context.Context, identity string) (*id.Chain, error)
	// Claimed lists ghosts that an identity has claimed, and whether there are more.
	Claimed(ctx context.Context, by string) (ghosts []string, more bool, err error)
	SetLabels(ctx context.Context, identity string, labels id.Labels) (id.Info, error)
}

// Custody holds the keys of identities that cannot keep their own. *id.Custody
// implements it.
type Custody interface {
	Create(ctx context.Context, subject, handle, name, maker string) (id.Info, error)
	// Maker is who had the identity made; not_found not_in_custody.
	Maker(ctx context.Context, identity string) (string, error)
	Rotation(ctx context.Context, identity string) (*id.Change, error)
	Revocation(ctx context.Context, identity, reason string) (*id.Change, error)
	Keep(ctx context.Context, change *id.Change) (id.Info, error)
	// Destroy removes the keys for good.
	Destroy(ctx context.Context, identity string) error
}

// Accounts are the logins of people at this node, and their sessions, whose tokens
// they judge. *account.Service implements it.
type Accounts interface {
	Authenticator
	// Again is Authenticate for a session that was judged before, by its id.
	Again(ctx context.Context, session string) (id.Credential, error)
	// Rotate gives out a token to take the place of one, "" where that is not due.
	Rotate(ctx context.Context, token string) (fresh string, err error)

	CreateHeld(ctx context.Context, n account.NewAccount, where account.Where) (id.Info, error)
	Create(ctx context.Context, identity string, n account.NewAccount) error
	Get(ctx context.Context, identity string) (account.Account, error)
	SetEmail(ctx context.Context, identity, email string) error
	ProveEmail(ctx context.Context, identity, email string) error
	Erase(ctx context.Context, identity string) (found bool, err error)

	SignIn(ctx context.Context, name, password, second string, where account.Where) (n account.Session, token string, err error)
	// Begin signs in whoever has proved to be the identity.
	Begin(ctx context.Context, identity, how string, where account.Where) (n account.Session, token string, err error)
	BeginByKey(ctx context.Context, who id.Credential, where account.Where) (n account.Session, token string, err error)
	Complete(ctx context.Context, token, code string) (n account.Session, fresh string, err error)
	Sessions(ctx context.Context, identity string) ([]account.Session, error)
	End(ctx context.Context, identity, session string) error
	EndOthers(ctx context.Context, identity, but string) (ended int, err error)

	ChangePassword(ctx context.Context, identity, session, current, fresh string, unproven bool) (token string, err error)
	OfferSecond(ctx context.Context, identity, name string) (account.Offer, error)
	ConfirmSecond(ctx context.Context, identity, session, code string) (codes []string, token string, err error)
	RemoveSecond(ctx context.Context, identity, code string) error
	RenewCodes(ctx context.Context, identity, code string) ([]string, error)
}

// Passkeys are the passkeys of accounts. *passkey.Service implements it.
type Passkeys interface {
	BeginRegistration(ctx context.Context, identity, origin string) (options json.RawMessage, err error)
	FinishRegistration(ctx context.Context, identity, name string, answer []byte) (passkey.Passkey, error)
	BeginSignIn(ctx context.Context, origin string) (options json.RawMessage, err error)
	FinishSignIn(ctx context.Context, answer []byte, where account.Where) (n account.Session, token string, err error)
	List(ctx context.Context, identity string) ([]passkey.Passkey, error)
	Rename(ctx context.Context, identity, passkey, name string) (passkey.Passkey, error)
	Remove(ctx context.Context, identity, passkey string, evenLast bool) error
}

// OIDC is signing in by the word of other providers. *oidc.Service implements it.
type OIDC interface {
	Providers() []oidc.Provider
	Begin(ctx context.Context, provider string, why oidc.Purpose) (oidc.Begun, error)
	Finish(ctx context.Context, provider string, answer url.Values, browser string, where account.Where) (oidc.Done, error)
	List(ctx context.Context, identity string) ([]oidc.Link, error)
	Remove(ctx context.Context, identity, link string, evenLast bool) error
}

// APIKeys are the API keys of this node's identities. *id.APIKeys implements it.
type APIKeys interface {
	Create(ctx context.Context, terms id.APIKey) (key id.APIKey, text string, err error)
	List(ctx context.Context, identity, after string, limit int) ([]id.APIKey, error)
	Get(ctx context.Context, identity, key string) (id.APIKey, error)
	// Rotate makes a key that takes the place of another, which stays good for
	// overlap; expires is the new one's end, "" for a life as long as the old one's.
	Rotate(ctx context.Context, identity, key string, overlap time.Duration, expires, by string) (fresh id.APIKey, text string, err error)
	Revoke(ctx context.Context, identity, key, by string) (id.APIKey, error)
	// Authenticate says whose key it is.
	Authenticate(ctx context.Context, text string) (id.Credential, error)
}

// Events records CloudEvents of callers that cannot sign. *cloudevents.Recorder
// implements it.
type Events interface {
	// Record answers each event at its index; batch makes what an error points at
	// places in a batch.
	Record(ctx context.Context, who id.Credential, tenant string, events []*cloudevents.Event, batch bool) ([]engine.Result, error)
}

// Onboarding makes tenants. *onboarding.Service implements it.
type Onboarding interface {
	// CreateTenant checks and spends the bootstrap token; an empty token is
	// answered by whatever the node's configuration allows.
	CreateTenant(ctx context.Context, token, slug, name, owner string, publicReading bool) (timeline.Tenant, error)
	// Begins says whether this is the bootstrap token, not yet spent.
	Begins(ctx context.Context, token string) (bool, error)
	// MayImport says whether the bootstrap token, or a caller, may bring in a
	// timeline of another node.
	MayImport(ctx context.Context, token, caller string) error
}

// Flow keeps onboarding sessions. *flow.Sessions implements it.
type Flow interface {
	// Begin opens a session for somebody at an address; the token is shown once.
	Begin(ctx context.Context, road string, from netip.Addr) (s flow.Session, token string, err error)
	Get(ctx context.Context, session, token string) (flow.Session, error)
	Do(ctx context.Context, session, token string, in flow.Input) (flow.Step, error)
}

// Tickets are those of feeds, which any process of the node takes. *ticket.Tickets
// implements it.
type Tickets interface {
	// Make makes a ticket and gives its text; limited tickets_limited.
	Make(ctx context.Context, k ticket.Ticket) (text string, err error)
	// Spend takes a ticket, which is good once; unauthenticated ticket_invalid.
	Spend(ctx context.Context, text string) (ticket.Ticket, error)
}

// Gate bounds how much callers ask for; each refuses with a fault of kind Limited
// that wraps a *quota.Refusal. *quota.Gate implements it.
type Gate interface {
	// Address counts n requests, spans or checks of an address, before anything of
	// them is judged.
	Address(ctx context.Context, from netip.Addr, n int) (quota.Level, error)
	// Caller counts n requests of somebody proven, and of the key by which.
	Caller(ctx context.Context, identity, key string, n int) (quota.Level, error)
	// Tenant counts n requests in a tenant by somebody who holds a role there.
	Tenant(ctx context.Context, tenant string, n int) (quota.Level, error)
	// Try counts one try of something that whoever guesses could get by it.
	Try(ctx context.Context, from netip.Addr) (quota.Level, error)
	// Refused tells how often each kind of limit said no.
	Refused(tell func(by string, n int64))
	// Alone says whether limits that processes share hold in this one alone now.
	Alone() bool
}

// Quotas are what tenants, by id, may use. *quota.Tenants implements it.
type Quotas interface {
	// Usage counts what a tenant uses, now.
	Usage(ctx context.Context, tenant string) ([]quota.Use, error)
	// Task says whether somebody may ask for a task.
	Task(ctx context.Context, tenant string) error
	// Feed counts a feed that opens, until leave is called.
	Feed(ctx context.Context, tenant string) (leave func(), err error)
	// Warned tells how often tenants crossed each mark of a quota.
	Warned(tell func(percent int, n int64))
}

// Node is this node's own identity. *id.Node implements it.
type Node interface {
	ID() string
	Events() [][]byte
}

// Version says what is running.
type Version struct {
	Version string // semantic version, or "dev"
	Commit  string // source revision, "" when unknown
	Go      string // Go version it was built with
}

// Limits bounds what one caller can ask of the process. Zero means default.
type Limits struct {
	Span       span.Limits   // sizes of a span's header and payload; default 16 KiB and 1 MiB
	Line       int           // bytes of one span as sent, alone or as a line; default twice header + payload, room for white space and escapes
	Body       int           // bytes of any other body; default 1 MiB
	Bundle     int64         // bytes of an imported bundle; default 64 MiB
	Concurrent int           // requests served at once; default 1024, more are answered 503
	Streams    int           // NDJSON appends served at once, of those; default 64, more wait for Stall/6
	Exports    int           // bundles read at once, each with a page of up to 8 MiB in memory; default 32, more wait for Stall/6
	Room       int           // bytes of bodies and pages beyond 64 KiB each that are in memory at once; default 256 MiB, more are answered 503
	ReadHeader time.Duration // for a request's header to arrive; default 10 s
	Idle       time.Duration // keep-alive between requests; default 2 min
	Witness    time.Duration // longest wait for cosignatures with wait=witnessed; default 10 s
	Stall      time.Duration // longest wait for a client that neither sends nor reads; default 30 s
	Drain      time.Duration // what open requests get at shutdown; default 10 s

	Connections    int // open at once; default 8192. Beyond, the one that has asked for nothing for longest is closed
	ConnectionsOne int // of one address, or 64 bits of IPv6; default 512. Proxies and this machine have as many as they like

	Verifiers   int           // WebSockets that check signatures open at once, beside Concurrent; default 64, more are answered 503
	Feeds       int           // live feeds open at once, beside Concurrent; default 2048, more are answered 503
	FeedEntries int           // recent entries kept for feeds, a tenant: who falls behind further is closed; default 16,384
	FeedBytes   int           // and about how many bytes; default 64 MiB
	FeedSend    int           // bytes in the system's send buffer of one feed; default 256 KiB
	FeedStall   time.Duration // longest wait for a feed's client that takes nothing; default Stall
	Heartbeat   time.Duration // of feeds; default 15 s
	FeedPoll    time.Duration // between looks for entries nobody told of; default 1 s
	Ticket      time.Duration // for a feed's ticket to be used; default 30 s
}

func (l Limits) withDefaults() Limits {
	setInt(&l.Span.Header, 16<<10)
	setInt(&l.Span.Payload, 1<<20)
	setInt(&l.Line, 2*(l.Span.Header+l.Span.Payload))
	setInt(&l.Body, 1<<20)
	setInt(&l.Concurrent, 1024)
	setInt(&l.Connections, 8192)
	setInt(&l.ConnectionsOne, 512)
	setInt(&l.Streams, 64)
	setInt(&l.Exports, 32)
	setInt(&l.Room, 256<<20)
	setDuration(&l.ReadHeader, 10*time.Second)
	setDuration(&l.Idle, 2*time.Minute)
	setDuration(&l.Witness, 10*time.Second)
	setDuration(&l.Stall, 30*time.Second)
	setDuration(&l.Drain, 10*time.Second)
	setInt(&l.Feeds, 2048)
	setInt(&l.FeedSend, 256<<10)
	setDuration(&l.FeedStall, l.Stall)
	setInt(&l.Verifiers, 64)
	setDuration(&l.Heartbeat, 15*time.Second)
	setDuration(&l.Ticket, 30*time.Second)
	return l
}

func setInt(v *int, def int) {
	if *v <= 0 {
		*v = def
	}
}

func setDuration(v *time.Duration, def time.Duration) {
	if *v <= 0 {
		*v = def
	}
}

// Deps is everything the server works with. Engine, Log, Contracts, Tasks,
// Backtests, Webhooks, Followers, Directory, Custody, APIKeys, Accounts, Passkeys, OIDC, Events, Onboarding, Flow, Node and Quotas are required.
type Deps struct {
	Engine     Engine
	Log        Log
	Contracts  Contracts
	Tasks      tasks.Desk
	Admin      Admin
	Webhooks   Webhooks
	Followers  Followers
	Backtests  Backtests
	Directory  Directory
	Custody    Custody
	APIKeys    APIKeys
	Accounts   Accounts
	Passkeys   Passkeys
	OIDC       OIDC
	Events     Events
	Onboarding Onboarding
	Flow       Flow
	Node       Node
	// Invitations are required where the module onboarding is on.
	Invitations Invitations
	Codes       Codes // nil: nothing is mailed; required where Registration is RegistrationDomain
	Gate        Gate  // nil: nothing is limited by rate
	Quotas      Quotas
	Tickets     Tickets
	// Authenticators take kinds of credentials beside API keys and signed tokens,
	// told by their forms.
	Authenticators []Authenticator
	Verifier       id.Verifier // nil: one of its own, whose tables of keys nobody else fills
	// Wakes says which timelines have grown; without it feeds look by themselves.
	Wakes     feed.Waker
	News      *tasks.News  // how tasks stand that this process changed; nil: the timeline alone tells of them
	MirrorLag func() int64 // entries that a mirror lacks; nil where there is none
	SearchLag func() int64 // entries that the index of words lacks; nil where nothing makes it
	TaskLag   func() int64 // entries whose actions are not made tasks of yet; nil where the engine is off

	// Ready says whether this process can append and sign now; nil means yes.
	Ready func(ctx context.Context) error
	// OpenRegistration lets anybody register an identity with its signature
	// alone. Where it is false, Registration says who else may; "" is nobody.
	OpenRegistration bool
	Registration     string // RegistrationInvite …
	PublicURL        string // where people reach the server, for links; "": unknown
	// ProtectNames asks, of an open registration that takes a handle or a name,
	// for the identity's own token: set it where more than this machine can reach
	// the server.
	ProtectNames bool
	TLS          *tls.Config // Run speaks TLS by it; nil: HTTP alone
	Proxies      Proxies     // whose word about clients is taken; nil: nobody's
	Names        Names       // what the server is called, for tokens that say what they are for
	Origins      Origins     // of the pages that may read answers, beside the server's own; nil: no others
	Limits       Limits
	SpoolDir     string           // for bundles on their way in; "": the system's
	Logger       *slog.Logger     // nil: silent
	Now          func() time.Time // nil: time.Now
	Modules      []string         // names of the modules that are on; the others' routes answer 404; nil: all are
	Version      Version
}
