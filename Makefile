# One target per job; CI runs `lint` and `test`, nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# The crash points let tests kill the server in mid-saga; a released build has none.
FEATURES := --features integraci-server/crash-points
PLATFORM := target/debug/local-platform

SEEDS ?= 1000000
EVENTS ?= 20000

.PHONY: help demo demo-down test faults simulate canary connectors meter attack quotas lint docs bench build systems

help: ## Says what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## Builds, starts the platform and applies examples/onboarding
	@acceptance-tests/demo/demo.sh up

demo-down: ## Stops all that `make demo` started
	@acceptance-tests/demo/demo.sh down

build: ## Builds every binary as the tests use them
	cargo build --workspace --bins --examples $(FEATURES)

systems: build
	$(PLATFORM) get

test: systems ## Runs every test, against the real systems
	$(PLATFORM) with postgres openbao nats keycloak kubernetes registry -- cargo test --workspace $(FEATURES)

faults: systems ## Every fault at every step of every saga; CASE=tenant_create runs those that begin so
	@$(PLATFORM) with postgres openbao nats keycloak kubernetes -- cargo test -q -p acceptance-tests --test faults -- $(CASE)

simulate: ## Runs SEEDS histories of the saga runner under every fault, a million if not said
	@set -o pipefail; SAGA_SEEDS=$(SEEDS) cargo test -q -p integraci-server $(FEATURES) --lib -- --nocapture --exact \
		saga::simulation::no_history_breaks_a_promise | sed '/^$$/d; /^running/d; /^\.$$/d; /^test result: ok/d'

canary: build ## Applies unique secrets and looks for them everywhere but in OpenBao
	@cargo test -q -p acceptance-tests --test canary

connectors: systems ## Every kind of connector from its installation to its end, by the API and both CLIs
	@$(PLATFORM) with postgres openbao keycloak kubernetes registry -- cargo test -q -p acceptance-tests --test connectors

meter: build ## EVENTS events sent, lost and sent again while servers are killed: each is counted once
	@$(PLATFORM) with postgres openbao -- cargo test -q -p acceptance-tests --test meter -- $(EVENTS)

attack: systems ## Attacks one tenant with another's credentials, in every way there is
	@$(PLATFORM) with postgres openbao nats keycloak kubernetes -- cargo test -q -p acceptance-tests --test attack

quotas: systems ## Every limit of a quota, gone over in the system that holds it, and raised by both CLIs
	@$(PLATFORM) with postgres openbao nats keycloak kubernetes -- cargo test -q -p acceptance-tests --test quotas

lint: ## Formatting, clippy with every warning an error, and the generated files
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(FEATURES) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

docs: ## Writes the generated files: docs/openapi.json and the provider's registry docs
	cargo run -q -p integraci-server -- openapi > docs/openapi.json.new
	mv docs/openapi.json.new docs/openapi.json
	cargo run -q -p terraform-provider-integraci --bin docs

bench: ## What a tenant costs beside its slowest system, connectors in Terraform, and the provider beside a Go one; writes docs/benchmarks.md
	cargo run --release -p acceptance-tests --bin bench
