# Everything that is done to this repository has a target here; `make` alone lists them.
#
# Tools are pinned by the go.mod files below hack/tools and built by the Go toolchain on first use; nothing is installed. Nothing is
# downloaded as a binary but Kubernetes' API server, by kube-assets, where that is to be had: building it takes minutes.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO       ?= go
TOOL     := $(GO) tool -modfile=hack/tools/go.mod
BUF      := $(GO) tool -modfile=hack/tools/buf/go.mod buf
LINT     := $(GO) tool -modfile=hack/tools/lint/go.mod golangci-lint
MODULES  := . hack/kube hack/tools hack/tools/buf hack/tools/helm hack/tools/lint hack/tools/versitygw
FUZZTIME ?= 10m
ARGS     ?=

# Prints the folder for KUBEBUILDER_ASSETS: see test/kubetest/assets.
KUBE_ASSETS := $(GO) run ./hack/kubeassets

# The SQL parser is PostgreSQL's own, in C; see docs/adr/0006-cgo-and-static-images.md.
export CGO_ENABLED := 1

.PHONY: help
help: ## list the targets
	@echo "Targets (make TARGET):"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: generate
generate: ## regenerate what is made from api/ and config/: deepcopy, CRDs, reference pages, the chart's files, protobuf
	$(TOOL) controller-gen object paths=./api/v1alpha1
	$(TOOL) controller-gen crd paths=./api/v1alpha1 output:crd:artifacts:config=config/crd/bases
	$(GO) run ./hack/reference
	hack/chart-files.sh
	$(BUF) lint
	$(BUF) format -w
	$(BUF) generate

.PHONY: fmt
fmt: ## format all Go code (gofumpt)
	$(TOOL) gofumpt -w .

.PHONY: lint
lint: need-cc ## run the linters of .golangci.yml
	$(LINT) run

.PHONY: test
test: need-cc need-postgres ## run all tests, with a real PostgreSQL and Kubernetes API server that they start themselves
	@assets=$$($(KUBE_ASSETS)); export KUBEBUILDER_ASSETS="$$assets"; set -x; $(GO) test -timeout 30m ./...

.PHONY: kube-assets
kube-assets: ## print the folder of etcd, kube-apiserver and kubectl; the first time, get them
	@$(KUBE_ASSETS)

.PHONY: verify
verify: need-cc ## prove that the tree is generated, formatted, tidy and free of lint
	@hack/tools/unchanged.sh $(MAKE) generate
	@echo "gofumpt -l ."; unformatted=$$($(TOOL) gofumpt -l .); \
	  [ -z "$$unformatted" ] || { echo "$$unformatted"; echo "verify: not formatted; run: make fmt"; exit 1; }
	@for module in $(MODULES); do echo "go mod tidy -diff ($$module)"; \
	  (cd $$module && $(GO) mod tidy -diff) || { echo "verify: run: (cd $$module && go mod tidy)"; exit 1; }; done
	@$(MAKE) lint
	@echo "verify: ok"

.PHONY: bench
bench: need-cc need-postgres ## measure Tidewaiter beside a direct connection, pgbouncer and haproxy
	$(GO) run ./test/bench $(ARGS)

.PHONY: fuzz
fuzz: need-cc ## run every fuzz target for FUZZTIME each (default 10m), one after the other
	@grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort | while IFS=: read -r file name; do \
	  echo "=== $$(dirname $$file) $${name#func } ($(FUZZTIME))"; \
	  $(GO) test "$$(dirname $$file)" -run '^$$' -fuzz "^$${name#func }\$$" -fuzztime $(FUZZTIME) </dev/null; \
	done

.PHONY: conformance
conformance: need-cc need-postgres ## run other people's PostgreSQL test suites direct and through Tidewaiter
	$(GO) run ./test/conformance $(ARGS)

.PHONY: frameworks
frameworks: need-cc need-postgres ## play working days of frameworks and tools direct and through a masking Tidewaiter; see docs/frameworks.md
	$(GO) run ./test/frameworks $(ARGS)

.PHONY: redteam
redteam: need-cc need-postgres ## attack a proxy with a corpus in every dress and judge what its client received; see docs/redteam.md
	$(GO) run ./test/redteam $(ARGS)

.PHONY: lineage
lineage: need-cc need-postgres ## hold what lineage says of 100,000 made statements against what PostgreSQL does (most of an hour)
	$(GO) run ./test/lineage $(ARGS)

.PHONY: smith
smith: need-cc need-postgres need-sqlsmith ## random statements of sqlsmith through a proxy for an hour, every byte to the client looked at
	$(GO) run ./test/smith $(ARGS)

.PHONY: ddl
ddl: need-cc need-postgres ## DDL by others at every place between a client's messages: a quarter of an hour
	$(GO) test ./test/ddl -count=1 -timeout 90m -args -all

.PHONY: demo
demo: need-cc ## a tour on a real PostgreSQL, in about a minute
	$(GO) run ./hack/demo $(ARGS)

.PHONY: demo-kube
demo-kube: need-cc ## its second act: in a cluster, on a real Kubernetes API server
	@assets=$$($(KUBE_ASSETS)); export KUBEBUILDER_ASSETS="$$assets"; $(GO) run ./hack/demo/kube

.PHONY: build
build: need-cc ## build the three programs into bin/: kubectl-tidewaiter, tidewaiter-operator, tidewaiter-proxy
	$(GO) build -o bin/ ./cmd/...

# What a machine must have. Each check ends with the line that cures it.

.PHONY: need-cc
need-cc:
	@cc=$$($(GO) env CC); command -v $${cc%% *} >/dev/null || { \
	  echo "A C compiler is needed to build PostgreSQL's parser (pg_query_go), and $$cc is not there."; \
	  echo "Install one:  apt-get install -y gcc libc6-dev"; exit 1; }

.PHONY: need-sqlsmith
need-sqlsmith:
	@command -v sqlsmith >/dev/null || { \
	  echo "sqlsmith is needed, a generator of random statements, and it is not there."; \
	  echo "Install it:  apt-get install -y sqlsmith"; exit 1; }

.PHONY: need-postgres
need-postgres:
	@command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || \
	  compgen -G '/usr/pgsql-*/bin/initdb' >/dev/null || compgen -G '/opt/homebrew/opt/postgresql@*/bin/initdb' >/dev/null || { \
	  echo "A PostgreSQL server is needed (initdb, postgres, psql), and none was found. It need not run."; \
	  echo "Install one:  apt-get install -y postgresql-15 postgresql-contrib"; exit 1; }
