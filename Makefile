# The daily commands. Whatever they need beyond Go, git and make (and root for the
# cluster) they build or install themselves, into .cache/ where they can.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export CGO_ENABLED ?= 0

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
REGISTRY ?= localhost
TAG      ?= $(VERSION)

TOOLBOX := go run -buildvcs=false ./hack/toolbox
CLUSTER := go run -buildvcs=false ./hack/cluster
WATCH   := go run -buildvcs=false ./hack/watchrun

## Use it

.PHONY: up
up: ## A real cluster on this machine, the chart, two tenants (one on a stand-in of Cloudflare), real chats and a document. OUTBOUND=host:port lets pods reach a model server
	@go run -buildvcs=false ./test/e2e/demo $(if $(OUTBOUND),-outbound '$(OUTBOUND)')

.PHONY: down
down: ## Ends what up started; leaves nothing behind
	@$(CLUSTER) down

.PHONY: run-tenant
run-tenant: ## One tenant's runtime without a cluster: make run-tenant FILE=config/samples/tenant-minimal.yaml
	@test -n "$(FILE)" || { echo "usage: make run-tenant FILE=config/samples/tenant-minimal.yaml"; exit 2; }
	@go run -buildvcs=false ./hack/runtenant -f '$(FILE)'

## Check it

.PHONY: test
test: ## Every unit and controller test (builds etcd and kube-apiserver the first time: minutes)
	@$(TOOLBOX) packages
	@assets=$$($(TOOLBOX) assets) && \
	KUBEBUILDER_ASSETS="$$assets" $(WATCH) -canaries -name 'go test' -- go test -p 2 -timeout 20m ./...

.PHONY: race
race: ## The tests of the runtime under the race detector (needs gcc)
	@CGO_ENABLED=1 $(WATCH) -canaries -name 'go test -race' -- go test -race -p 2 -timeout 30m ./runtime/... ./api/tenantconfig/...

.PHONY: isolation
isolation: ## Proves that no tenant reads another and nothing is lost: OPERATIONS (default 1000000) a driver
	@$(TOOLBOX) packages
	@go run -buildvcs=false ./hack/isolation -operations $(or $(OPERATIONS),1000000)

.PHONY: e2e
e2e: ## The path of make up, with assertions, on a cluster of its own
	@$(TOOLBOX) packages
	@$(WATCH) -canaries -name e2e -- go test -count=1 -timeout 30m -tags e2e -v ./test/e2e/...

.PHONY: roll
roll: ## Replaces two servers one after the other under STREAMS (default 1000) open streams and steady requests
	@$(TOOLBOX) packages
	@ENIGMA_ROLL_STREAMS=$(or $(STREAMS),1000) $(WATCH) -canaries -name roll -- go test -count=1 -run TestARollingUpdateLosesNothing -v ./runtime/server

.PHONY: lint
lint: ## golangci-lint
	@lint=$$($(TOOLBOX) path golangci-lint) && $(WATCH) -name golangci-lint -- "$$lint" run --timeout 20m --allow-parallel-runners ./...

.PHONY: verify
verify: ## Fails if a generated file, a copy in the chart or go.mod is stale
	@go run -buildvcs=false ./hack/verify check
	@go mod tidy -diff || { echo "go.mod or go.sum is stale: run go mod tidy"; exit 1; }
	@echo "verify: everything generated is fresh"

.PHONY: bench
bench: ## Measures the figures of docs/benchmarks.md against a bare reverse proxy
	@go run -buildvcs=false ./test/bench $(BENCHFLAGS)

.PHONY: eval
eval: ## Measures whether documents are found, on public judged sets (docs/evaluation.md); a tenant's own: EVALFLAGS='-api URL -key-file F -questions F'
	@go run -buildvcs=false ./test/eval $(EVALFLAGS)

.PHONY: crash-matrix
crash-matrix: ## Breaks every call and write of Cloudflare bindings, and counts duplicates and orphans: SEEDS=500
	@go run -buildvcs=false ./hack/crashmatrix -seeds $(or $(SEEDS),500)

.PHONY: scale-bindings
scale-bindings: ## Measures 8,000 bindings on five Cloudflare accounts, against the fake with its true budgets (10 min)
	@go run -buildvcs=false ./test/bench/scale $(SCALEFLAGS)

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (default 30s) each
	@go run -buildvcs=false ./hack/fuzz -time $(or $(FUZZTIME),30s)

## Change it

.PHONY: generate
generate: ## Makes the generated files: deepcopy, CRDs, RBAC, their copies in the chart, the field reference
	@go run -buildvcs=false ./hack/verify generate

.PHONY: build
build: ## Both programs, into bin/
	go build -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/ ./cmd/operator ./cmd/runtime

.PHONY: images
images: build ## Both images as archives in dist/, for docker load, podman load or crane push: REGISTRY=… TAG=…
	@mkdir -p dist
	@for name in operator runtime; do \
		$(CLUSTER) image --ref "$(REGISTRY)/crispy-enigma-$$name:$(TAG)" --binary "bin/$$name" --out "dist/crispy-enigma-$$name.tar"; \
	done

.PHONY: clean
clean: ## Removes what was built; the caches of make up and make test too
	@$(CLUSTER) down || true
	rm -rf bin dist .cache

.PHONY: help
help:
	@awk -F ':.*## ' '/^## /{printf "\n%s\n", substr($$0,4)} /^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
