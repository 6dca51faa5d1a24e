# The two commands that matter are `make run` and `make test`; `make` alone lists all of them.
#
# Both work on a fresh Debian machine with Rust, Node and make: .ci/setup.sh installs what else is needed and says why.
# cargo, npm's lock file and the stamps below decide what is out of date, so a second run does nothing twice.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two steps may both want apt-get, and cargo uses every core by itself.
.NOTPARALLEL:
.PHONY: help run build web test compatibility lint audit fuzz bench figures jepsen narrow fleet fleet-figures deploy-check image-check setup clean

# Where `make run` keeps everything: the database, the certificate, the secrets.
DATA ?= ./data
# More flags for the server, for example ARGS="--listen 127.0.0.1:9000".
ARGS ?=
# More flags for the tests, for example TESTFLAGS="a_name_of_a_test".
TESTFLAGS ?=
# More flags for the benchmark.
BENCHFLAGS ?=

# Rounds of `make jepsen`, and the first round's seed: any, without one.
ROUNDS ?= 200
SEED ?=
# More flags for the fleet's demo, and for its figures.
FLEETFLAGS ?=

# More flags for running the Containerfile's steps.
IMAGEFLAGS ?=

# How long each fuzz target runs, and which ones: all of fuzz/fuzz_targets without a name.
FUZZ_SECONDS ?= 60
FUZZ_TARGET ?=

NPM_CI := npm ci --no-audit --no-fund --loglevel=error
TEST_NODE := tests/clients/node
TEST_PYTHON := tests/clients/python

# Folders are listed too, so that a deleted file counts as a change.
WEB_SOURCES := $(shell find web -mindepth 1 \( -name node_modules -o -name dist -o -name docs \) -prune -o -print)

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: build ## build and start the server with its data in ./data; Ctrl-C stops it (ARGS="--help" lists its flags)
	@exec target/release/guildhall serve --data $(DATA) $(ARGS)

build: web ## build the server, the web page inside it: target/release/guildhall
	@.ci/setup.sh server
	cargo build --locked --release --bin guildhall

web: web/dist/index.html ## build the web page: web/dist

test: setup web ## set up and run every test, real client libraries and browsers included; the API and the store on PostgreSQL, too
	cd web && npm test
	cargo build --locked --workspace --all-targets
	cargo test --locked --workspace --no-fail-fast $(TESTFLAGS)
	GUILDHALL_TEST_DATABASE=postgres GUILDHALL_MODEL_SEQUENCES=5 cargo test --locked --package guildhall-control-plane --lib $(TESTFLAGS)

compatibility: setup web ## run the end-to-end tests and write the README's table of clients from what they proved
	cargo build --locked --workspace --all-targets
	cargo test --locked --package guildhall-tests --test e2e
	GUILDHALL_WRITE_DOCS=1 cargo test --locked --package guildhall-tests --test matrix

lint: setup web ## formatting, clippy, the web page's lint and types
	cargo fmt --all --check
	cd web && npm run lint
	cd web && npm run typecheck
	cargo clippy --locked --workspace --all-targets -- -D warnings

audit: ## licences, sources and duplicate versions of every dependency
	cargo test --locked --workspace --test dependencies

fuzz: web ## feed the code that reads what strangers send with made-up input (FUZZ_SECONDS=60 FUZZ_TARGET=multipart)
	@.ci/setup.sh fuzz
	fuzz/run.sh $(FUZZ_SECONDS) $(FUZZ_TARGET)

bench: setup web ## measure: CPU per packet and per delivery, durable sends, sessions, log-ins, a long history and searches
	cargo build --locked --release --workspace --bins
	target/release/guildhall-loadtest bench $(BENCHFLAGS)

figures: setup web ## measure voice and video with the load harness (16 scenarios, 20 minutes) and write the README's table of it
	cargo build --locked --release --workspace --bins
	target/release/guildhall-loadtest tables --write README.md

jepsen: setup web ## look for lost, doubled and moved messages while two control planes and their engines fail (ROUNDS=200 SEED=1)
	cargo build --locked --workspace --all-targets
	GUILDHALL_JEPSEN_ROUNDS=$(ROUNDS) GUILDHALL_JEPSEN_SEED=$(SEED) cargo test --locked --package guildhall-tests --test e2e jepsen -- --nocapture

narrow: setup web ## measure four browsers, one behind a link that falls to 300 kbit/s and comes back (as root)
	@.ci/setup.sh fleet
	cargo build --locked --workspace --bins
	cargo test --locked --package guildhall-tests --test narrow -- --ignored --nocapture

fleet: setup web ## show a fleet over three emulated regions: placement, a node killed, one emptied, a region cut off (as root)
	@.ci/setup.sh fleet
	cargo build --locked --release --workspace --bins
	target/release/guildhall-loadtest fleet demo $(FLEETFLAGS)

fleet-figures: setup web ## measure what a fleet's failures and works cost its people, and write the README's table of it
	cargo build --locked --release --workspace --bins
	target/release/guildhall-loadtest fleet figures --write README.md $(FLEETFLAGS)

deploy-check: .venv-deploy/.installed ## lint, render and test what is in deploy/: Helm, Kubernetes' schemas, promtool, systemd-analyze, linters
	@.ci/setup.sh deploy
	@deploy/check.sh

image-check: .venv-deploy/.installed ## run the Containerfile's steps without an engine, and try what they make (as root; IMAGEFLAGS="--binary FILE" builds none)
	@.ci/setup.sh image
	.venv-deploy/bin/python deploy/image.py $(IMAGEFLAGS)

setup: web/node_modules/.package-lock.json $(TEST_NODE)/node_modules/.package-lock.json .venv/.installed ## install what the tests need
	@.ci/setup.sh tests

clean: ## remove everything that was built or installed here; ./data stays
	cargo clean
	rm -rf web/dist web/node_modules $(TEST_NODE)/node_modules .venv .venv-deploy fuzz/target fuzz/learned fuzz/artifacts

web/dist/index.html: $(WEB_SOURCES) web/node_modules/.package-lock.json
	cd web && npm run build
	@touch $@

# npm writes this file last, so it stands for a complete installation.
%/node_modules/.package-lock.json: %/package-lock.json %/package.json
	@.ci/setup.sh node
	cd $* && $(NPM_CI)
	@touch $@

# Helm as a library, Kubernetes' schemas and linters: 450 MB, so only for whoever asks for them.
.venv-deploy/.installed: deploy/requirements.txt
	@.ci/setup.sh python
	$(if $(wildcard .venv-deploy/bin/python),,python3 -m venv .venv-deploy)
	.venv-deploy/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# discord.py, hikari, aiortc and what they need, in a virtual environment of its own.
.venv/.installed: $(TEST_PYTHON)/requirements.txt
	@.ci/setup.sh python
	$(if $(wildcard .venv/bin/python),,python3 -m venv .venv)
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
