# `make help` lists the targets.  Everything is installed into .venv from requirements.lock, nothing elsewhere.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
ARGS ?=
SEEDS ?= 0:200
SPEC ?= all
SHELL := /bin/bash
PYTEST := $(BIN)/python -m pytest
unexport PYTHONDONTWRITEBYTECODE # what is compiled once is kept: every process of a real node starts a third sooner

.DEFAULT_GOAL := help
.PHONY: help demo etcdclient tools sim mutants spec test lint types format lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 10

.venv/.ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: install it, or run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock # the lock is whole: nothing is resolved anew
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	$(BIN)/python -m pip check --quiet --disable-pip-version-check
	@touch $@

demo: .venv/.ready ## three nodes trade, the leader is killed, another takes over, a verdict (ARGS="--duration 30")
	$(BIN)/meltica demo $(ARGS)

sim: .venv/.ready ## the whole product in simulated storms, a seed each (SEEDS=0:20000 ARGS="--profile disks")
	$(BIN)/meltica-chaos sim --seeds $(SEEDS) $(ARGS)

spec: .venv/.ready ## the specification of authority and its mutations, by TLC: Java and Maven (SPEC=quick, or names)
	$(BIN)/python -m chaos.spec $(SPEC) $(ARGS)

etcdclient: ## the bench's client for etcd, in Go, into .tools (Go 1.25 or later)
	@command -v go >/dev/null || { echo "Go 1.25 or later is needed: install it from go.dev/dl, then make etcdclient" >&2; exit 2; }
	cd chaos/bench/etcdclient && go build -trimpath -mod=readonly -ldflags "-X main.source=$$(cat main.go go.mod go.sum | sha256sum | cut -d' ' -f1)" -o $(CURDIR)/.tools/etcdclient .

tools: .venv/.ready ## the Toxiproxy server that live chaos goes through, with Go, into .tools; one that is there is kept
	$(BIN)/python -m chaos.toxiproxy

mutants: .venv/.ready ## the product broken on purpose: each break must be seen by a check (ARGS="--only h6 -o json")
	$(BIN)/meltica-chaos mutants $(ARGS)

test: .venv/.ready lint types ## all tests
	@$(BIN)/python -m chaos.toxiproxy || test -z "$$CI" # without it the tests that need it are skipped, but not in CI
	@date -u +"simulation: fresh seeds of today, from %Y%m%d000; live smoke: seed %Y%m%d"
	@beside=$$(mktemp); trap 'kill $$patient 2>/dev/null; rm -f "$$beside"' EXIT; \
	$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder -m "processes and patient" $(ARGS) >"$$beside" 2>&1 & patient=$$!; \
	nice -n 19 $(PYTEST) -n 2 --dist loadgroup -m "not processes" $(ARGS); worked=$$?; \
	echo "real nodes, with timers for a busy machine, ran beside these:"; wait $$patient; waited=$$?; cat "$$beside"; \
	exit $$((worked | waited)) # nodes wait as much as they work: what they leave of two processors is the others'
	$(PYTEST) -m "processes and not patient" $(ARGS) # alone: real nodes must not wait for a processor

lint: .venv/.ready ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.ready ## mypy, strict
	$(BIN)/mypy

format: .venv/.ready ## put the code in shape
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: ## pin every dependency with hashes (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --extra chaos --extra dev --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml -o requirements.lock

clean: ## remove what was installed and made
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
