# LogLine: `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help

export CGO_ENABLED ?= 0
GO      ?= go
TAGS    := grpcnotrace
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 5s

.PHONY: help build run demo test race fuzz guards soak bench lint fmt generate vectors smoke tour container vuln clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/logline (static, nothing to install beside it)
	$(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/logline ./cmd/logline

run: ## start a server on 127.0.0.1:8080 with its data in ./logline-data
	$(GO) run -tags $(TAGS) ./cmd/logline serve

demo: ## this repository's history as a verified timeline, then a running server (Ctrl-C stops it)
	$(GO) run -tags $(TAGS) ./cmd/logline demo $(ARGS)

test: ## all tests; needs Go and git alone
	@bash scripts/test.sh $(ARGS)

# Packages in which goroutines meet; the rest is pure, or runs a binary of its own.
RACY := ./client/ $(addprefix ./internal/,account/... app bus certs engine/... feed followers httpapi id importer/... lifecycle onboarding/... outbox quota ratelimit relay rules/backtest storage timeline/... webhook)

# One goroutine tells its story there, thousands of times over, compares pure
# functions or reads plans; and SQLite in memory is asked what SQLite in a file is
# asked. Failing stores are memory and PostgreSQL alone. make test runs all in full.
ALONE := TestEveryCallFails|TestAFailureThenACut|TestEveryCallOfARepairFails|TestCompactionFails|TestMirrorEveryCallFails|TestDamagedIndexOfWords|TestConformanceInMemory|TestSearchOfLongTimelineIsBounded|TestVerifiersAgreeOnEdges|TestVerifiersAgreeOnRandomInput|TestKeyFileAsUsed|TestTenantsTakeTurns|TestClaimReadsNoMoreOfAMillion|TestRunsAreFoundByTheirKeys|TestSQLitePlans

# SQLite and its C library keep what they share in memory of their own, outside Go's
# heap, where the race detector looks at nothing: instrumented they find nothing, and
# take several times as long to compile and to run. Their locks are Go's and count.
# The driver above them, which is Go, is instrumented.
RACEFLAGS := -race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc/...=-race=false

race: ## the concurrent packages under the race detector, shorter tests (needs a C compiler)
	CGO_ENABLED=1 $(GO) test $(RACEFLAGS) -vet=off -short -count=1 -tags $(TAGS) -timeout 30m -skip '^($(ALONE))$$|^TestConformance$$/^WordsAgreeWithModelHoweverIndexed$$|^TestEveryCallOfAStore$$/^sqlite$$' $(RACY)

fuzz: ## every fuzz target for FUZZTIME (default 5s)
	@bash scripts/fuzz.sh $(FUZZTIME)

guards: ## every fault test fails when its line is taken out (GUARDS=pattern for some; a quarter of an hour)
	@GUARDS='$(GUARDS)' bash scripts/guards.sh

soak: ## kill -9 under load, 50 rounds on each durable backend, in parts of SOAK_MINUTES (default 60); goes on where it ended
	@bash scripts/soak.sh

bench: ## figures beside their targets on every store, in one run with the floors they are made of
	$(GO) run -tags $(TAGS) ./internal/bench $(ARGS)

lint: ## gofmt, vet, staticcheck, stale generated code
	@bash scripts/lint.sh

fmt: ## format the Go sources
	gofmt -w $$(git ls-files '*.go')

generate: ## types, server interface and client from internal/httpapi/openapi.yaml; docs/cli.md from the commands, the guards' table in docs/testing.md
	$(GO) generate ./internal/httpapi/... ./client/... ./cmd/logline/ ./internal/guards/

vectors: ## the protocol's byte-level test vectors alone
	$(GO) test -count=1 -tags $(TAGS) -run '^TestVectors' $$(grep -rl --include='*_test.go' '^func TestVectors' internal | xargs -n1 dirname | sort -u | sed 's#^#./#')

smoke: ## the main job as a newcomer runs it, in a temporary folder
	@bash scripts/smoke.sh

tour: build ## the README's tour as it stands, on SQLite and on PostgreSQL (port 8080 must be free)
	@bash scripts/with-services.sh bash scripts/tour.sh bin/logline

container: ## the Dockerfile's steps, start, health check and stop, without a container engine
	@bash scripts/with-services.sh python3 scripts/container.py

vuln: ## known vulnerabilities in what the program calls; says so where their database cannot be reached
	@bash scripts/vuln.sh

clean: ## remove built files (not ./logline-data)
	rm -rf bin
