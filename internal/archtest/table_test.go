package archtest

// module is this module's path.
const module = "github.com/danvoulez/logline"

// Names for sets of packages in the table.
var sets = map[string][]string{
	"ours": {module},
	"modules": {
		"internal/id", "internal/timeline", "internal/rules", "internal/engine",
		"internal/federation", "internal/onboarding", "internal/httpapi",
	},
	"stores": {
		"internal/timeline/memstore", "internal/timeline/sqlitestore",
		"internal/timeline/pgstore", "internal/timeline/ndjsonstore",
	},
	"drivers": {"modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/mattn/go-sqlite3", "github.com/lib/pq"},
	"I/O":     {"os", "net", "syscall", "database/sql", "io/fs", "log", "log/slog", "embed"},
	"clock":   {"time.Now", "time.Since", "time.Until", "time.After", "time.NewTimer", "time.NewTicker", "time.AfterFunc", "time.Tick"},
}

// rule is what a package and those below it never use in code outside tests:
// import paths (with everything below them), "package.Function" names, or sets
// of those. Paths under internal/ are ours.
type rule struct {
	never   []string
	except  []string // of what never forbids
	testing bool     // the package serves tests alone, and may panic
}

// table is the import table. A package is ruled by the entry with its own path
// or the nearest above it; one without an entry fails the test, so that every
// new package says here what it keeps out of.
var table = map[string]rule{
	"internal/fault":      {never: []string{"ours"}},
	"internal/atomicfile": {never: []string{"ours"}},
	"internal/doctor": {never: []string{"internal/timeline", "internal/rules", "internal/engine", "internal/federation", "internal/onboarding",
		"internal/httpapi", "stores", "drivers"}},
	"internal/certs":          {never: []string{"modules", "internal/storage", "stores", "drivers", "database/sql"}},
	"internal/filelock":       {never: []string{"ours"}},
	"internal/secret/plant":   {testing: true, never: []string{"ours"}},
	"internal/secret":         {never: []string{"ours"}, except: []string{"internal/fault"}},
	"internal/qrcode":         {never: []string{"ours", "I/O", "clock"}, except: []string{"internal/fault"}},
	"internal/outbox":         {never: []string{"modules", "internal/storage", "net"}},
	"internal/lifecycle":      {never: []string{"modules", "internal/storage"}},
	"internal/bus":            {never: []string{"modules", "internal/storage"}},
	"internal/quota":          {never: []string{"internal/engine", "internal/httpapi", "internal/onboarding", "stores", "drivers"}},
	"internal/ratelimit":      {never: []string{"modules", "internal/storage", "drivers"}},
	"internal/relay":          {never: []string{"modules", "internal/storage", "drivers"}},
	"internal/storage":        {never: []string{"modules"}},
	"internal/storage/pgtest": {testing: true, never: []string{"ours"}},
	"internal/span":           {never: []string{"ours"}, except: []string{"internal/fault"}},
	"internal/id":             {never: []string{"internal/timeline", "internal/httpapi", "internal/engine", "internal/standing"}},
	"internal/cloudevents": {never: []string{
		"internal/federation", "internal/onboarding", "internal/httpapi", "internal/storage", "stores", "drivers", "net/http", "clock"}},
	"internal/account": {never: []string{"internal/timeline", "internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi",
		"stores", "drivers", "net/http"}},
	"internal/account/oidc": {never: []string{"internal/timeline", "internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi",
		"stores", "drivers"}},
	"internal/account/oidc/oidctest": {testing: true, never: []string{"ours"}},
	"internal/sortedmap":             {never: []string{"ours", "I/O", "clock"}},
	"internal/standing":              {never: []string{"internal/storage", "internal/timeline", "internal/engine", "I/O", "clock"}},

	"internal/timeline": {never: []string{
		"internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi"}},
	"internal/timeline/tree":  {never: []string{"ours", "I/O", "clock"}, except: []string{"internal/fault", "internal/span"}},
	"internal/timeline/words": {never: []string{"ours", "I/O", "clock"}},
	"internal/timeline/wordindex": {never: []string{"internal/storage", "stores", "drivers", "net", "database/sql",
		"internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi"}},
	"internal/timeline/policy": {never: []string{"ours", "I/O", "clock"},
		except: []string{"internal/fault", "internal/id", "internal/timeline/tree"}},
	"internal/timeline/bundle": {never: []string{"internal/storage", "stores", "drivers", "net", "database/sql",
		"internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi"}},
	"internal/timeline/fsck": {never: []string{"internal/storage", "stores", "drivers", "net", "database/sql",
		"internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi"}},
	"internal/timeline/cosign": {never: []string{"stores", "drivers", "net", "os",
		"internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi"}},
	"internal/timeline/monitor": {never: []string{"internal/storage", "stores", "drivers", "net", "database/sql",
		"internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi"}},

	"internal/timeline/storetest/backend": {testing: true, never: []string{
		"internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi"}},
	"internal/timeline/storetest": {testing: true, never: []string{
		"internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi"}},

	"internal/rules":               {never: []string{"internal/timeline", "internal/storage", "I/O", "clock"}},
	"internal/rules/expr":          {never: []string{"ours", "I/O", "clock"}, except: []string{"internal/span"}},
	"internal/rules/lll":           {never: []string{"ours", "I/O", "clock"}, except: []string{"internal/fault"}},
	"internal/rules/naive":         {testing: true, never: []string{"ours"}}, // a second opinion that shares nothing with the first
	"internal/engine":              {never: []string{"internal/federation", "internal/onboarding", "internal/httpapi", "internal/storage", "stores", "drivers"}},
	"internal/federation":          {never: []string{"internal/engine", "internal/onboarding", "internal/httpapi"}},
	"internal/rulebook":            {never: []string{"internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi", "internal/storage", "stores", "drivers", "net"}},
	"internal/followers":           {never: []string{"modules", "stores", "drivers", "net"}},
	"internal/feed":                {never: []string{"internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi", "internal/storage", "stores", "drivers", "net"}},
	"internal/feed/ticket":         {never: []string{"internal/timeline", "internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi", "stores", "drivers", "net", "clock"}},
	"internal/onboarding":          {never: []string{"internal/engine", "internal/federation", "internal/httpapi", "stores", "drivers"}},
	"internal/mail":                {never: []string{"modules", "internal/storage", "stores", "drivers", "database/sql"}},
	"internal/mail/mailtest":       {testing: true, never: []string{"ours"}},
	"internal/onboarding/mailcode": {never: []string{"modules", "stores", "drivers", "net/http", "clock"}, except: []string{"internal/id"}},
	"internal/onboarding/invite":   {never: []string{"internal/engine", "internal/federation", "internal/httpapi", "stores", "drivers", "net/http", "clock"}},
	"internal/onboarding/template": {never: []string{"ours", "I/O", "clock"},
		except: []string{"internal/fault", "internal/span", "internal/rules", "embed", "io/fs"}},
	"internal/admin":            {never: []string{"internal/rules", "internal/federation", "internal/onboarding", "internal/httpapi", "stores", "drivers", "net"}},
	"internal/httpapi":          {never: []string{"internal/storage", "stores", "drivers", "database/sql"}},
	"internal/httpapi/spectest": {testing: true, never: []string{"ours"}},
	"internal/importer":         {never: []string{"modules", "internal/storage", "net/http"}, except: []string{"internal/id"}},
	"internal/backup": {never: []string{"stores", "drivers", "net",
		"internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi"}},
	"internal/webhook":          {never: []string{"modules", "internal/storage", "stores", "drivers", "database/sql"}},
	"internal/webhook/endpoint": {never: []string{"modules", "stores", "drivers", "net/http", "clock"}},
	"internal/ui":               {never: []string{"modules", "internal/storage"}},
	"internal/app":              {},
	"internal/web":              {never: []string{"ours", "net", "os", "clock"}},
	"internal/archtest":         {never: []string{"ours"}},
	"internal/guards":           {testing: true, never: []string{"ours"}},
	"internal/hotpath":          {testing: true},
	"internal/loadgen":          {never: []string{"modules", "internal/storage", "stores", "drivers"}, except: []string{"internal/id"}},
	"internal/bench":            {never: []string{"modules", "stores", "internal/app"}, except: []string{"internal/id"}},                                                                    // a command: it calls the program over HTTP, and writes bare rows beside it
	"internal/bench/fill":       {never: []string{"internal/app", "internal/httpapi", "internal/onboarding", "drivers"}},                                                                    // the product's own way in, in process
	"internal/bench/decide":     {never: []string{"internal/app", "internal/httpapi", "internal/onboarding", "internal/engine", "internal/timeline", "internal/storage", "drivers", "I/O"}}, // the evaluator beside bare cel-go
	"internal/bench/work":       {never: []string{"internal/app", "internal/httpapi", "internal/onboarding", "drivers"}},                                                                    // the store of tasks beside a bare queue
	"internal/systemtest":       {testing: true, never: []string{"ours"}, except: []string{"client", "internal/fault", "internal/span", "internal/id"}},

	"internal/engine/tasks/taskstore": {never: []string{"internal/federation", "internal/onboarding", "internal/httpapi", "stores", "net/http", "clock"}},

	"internal/systemtest/liar": {testing: true, never: []string{"internal/storage", "stores", "drivers", "internal/app",
		"internal/rules", "internal/engine", "internal/federation", "internal/onboarding", "internal/httpapi"}},

	"cmd/logline": {never: []string{"internal/storage", "stores", "drivers", "database/sql"}},
	"client":      {never: []string{"ours"}, except: []string{"client"}},
	"migrations":  {never: []string{"ours"}},
}

// confined is what only some packages may use at all.
var confined = map[string][]string{
	"github.com/labstack/echo/v4":         {"internal/httpapi"},
	"modernc.org/sqlite":                  {"internal/storage", "internal/timeline/sqlitestore"},
	"github.com/jackc/pgx/v5":             {"internal/storage", "internal/timeline/pgstore", "internal/engine/tasks/taskstore", "internal/bench"},
	"github.com/redis/go-redis/v9":        {"internal/ratelimit", "internal/relay"},
	"golang.org/x/crypto/acme":            {"internal/certs"},
	"cel.dev/cel-go":                      {"internal/rules/expr", "internal/bench/decide"},
	"internal/app":                        {"cmd/logline"},
	"internal/httpapi/spectest":           {},                                      // for tests alone
	"internal/guards":                     {},                                      // for tests alone
	"internal/rules/naive":                {},                                      // for tests alone
	"internal/secret/plant":               {},                                      // for tests alone
	"internal/storage/pgtest":             {"internal/timeline/storetest/backend"}, // for tests alone
	"internal/timeline/storetest/backend": {},
	"internal/systemtest/liar":            {}, // for tests alone
	"github.com/gorilla/websocket":        {"internal/httpapi", "client", "internal/bench", "internal/systemtest/liar"},
	"html/template":                       {}, // it defeats the linker's removal of unused methods
	"os.Exit":                             {"cmd/logline", "internal/bench"},
	"log.Fatal":                           {},
	"log.Fatalf":                          {},
	"time.Sleep":                          {},
}
