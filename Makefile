# Needs Go alone. Everything else is a tool of its own module, pinned in tools/go.mod.
# Tests that need more, such as PostgreSQL (on Debian the package postgresql), say that
# they are left out where it is missing.
GO   ?= go
LINT  = $(GO) tool -modfile=tools/go.mod golangci-lint
FUZZTIME ?= 10s

.DEFAULT_GOAL := help
.PHONY: help build test race lint fmt tidy proto check crash fuzz bench demo ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/edda
	$(GO) build -o bin/edda ./cmd/edda

test: ## run the tests
	$(GO) test ./...

race: ## run the tests with the race detector
	$(GO) test -race ./...

lint: ## run golangci-lint, which is built from tools/go.mod
	$(LINT) run ./...

fmt: ## format the code
	$(LINT) fmt

tidy: ## tidy the modules
	$(GO) mod tidy
	cd tools && $(GO) mod tidy

proto: ## generate rpc/edda/v1 from edda.proto
	cd tools && $(GO) run ./protogen -root .. rpc/edda/v1/edda.proto
	gofmt -w rpc/edda/v1/*.go

check: ## all that a change must pass: gofmt, vet, tests (the architecture among them) with -race, lint, tidy
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) test -race ./...
	$(LINT) run ./...

crash: ## run the crash and fault suites at full length
	./.ci/long

fuzz: ## fuzz every target for FUZZTIME (10s)
	./.ci/fuzz $(FUZZTIME)

bench: ## measure, each row beside its floor
	$(GO) run ./cmd/edda bench

demo: ## run the demo, which stays up until Ctrl-C
	$(GO) run ./cmd/edda demo

ci: ## run what continuous integration runs
	./.ci/run

clean: ## remove what was built
	rm -rf bin
