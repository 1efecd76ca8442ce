# oomward: what one types. `make help` lists it. Everything that is needed is set up by the targets that need it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
# The demo takes an environment that is there already; else one with nothing but what it needs.
DEMO := $(if $(wildcard $(VENV)/ready),$(VENV),.venv-demo)
LOWEST := .venv-lowest
HERE := build/image/here
CLEAN := build/image/clean
IMAGE ?= ghcr.io/oomward/oomward:dev
PLATFORMS ?= linux/amd64,linux/arm64
RENDERERS := .venv-manifests
FUZZERS := .venv-fuzz
BIN := $(CURDIR)/$(VENV)/bin
LOWEST_TESTS := cgroup commands events faults hostile kernel kube loop metrics pods run settings wording
TESTS ?= quick
COVERAGE ?= --cov --cov-report=term:skip-covered
DEMO_SECONDS ?= 60
FUZZ_RUNS ?= 10000000
FUZZ_SECONDS ?= 0
export DEMO_SECONDS
export PYTHON
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help demo demo-picture test lint unit lowest alerts manifests mutants fuzz fuzz-short image-here image-test kernel locks steady distributions distribution-bookworm distribution-trixie storm bench bench-page soak image image-tree sbom e2e lab format lock clean

help: ## what there is to type
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: .debian-demo $(DEMO)/ready ## the main job on a real kernel, no cluster needed (DEMO_SECONDS=60)
	@$(DEMO)/bin/python -m tests.demo

demo-picture: .debian-demo $(VENV)/ready ## run the demo, and make the docs' pictures of it from that run (docs/pictures)
	@$(BIN)/python -m tests.demo
	@$(BIN)/python -m tests.demo.picture

test: test-$(TESTS) ## what every change needs; TESTS=all: every test, before a piece of work is called done

# Parts on a kernel wait for half of their time: the others run beside them.
test-quick: export OOMWARD_TESTS := quick
test-quick: .debian
	@$(MAKE) --no-print-directory $(VENV)/ready $(HERE)/ready
	@$(MAKE) --no-print-directory -j3 -Otarget kernel lint unit alerts image-test PARTS=--quick COVERAGE= UNIT='-m "not long"'
	@echo "Not run: the longer tests, other parts on a kernel, the oldest libraries, manifests, fuzzing, coverage. All of them: make test TESTS=all"

test-all: .debian
	@$(MAKE) --no-print-directory $(VENV)/ready $(HERE)/ready
	@$(MAKE) --no-print-directory -j3 -Otarget kernel lint unit lowest alerts manifests image-test fuzz-short locks

lint: $(VENV)/ready ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: $(VENV)/ready ## tests that need no root and no special kernel, with coverage
	$(BIN)/python -m pytest tests/unit -n auto $(UNIT) $(COVERAGE) -q

lowest: $(LOWEST)/ready ## those of rooms that call a library, with the oldest versions that pyproject.toml allows
	$(LOWEST)/bin/python -m pytest $(LOWEST_TESTS:%=tests/unit/%) -q -p no:cacheprovider

kernel: .debian $(VENV)/ready $(HERE)/ready ## tests on a real kernel with real runc and crun (boots one when the host's won't do)
	$(BIN)/python -m tests.lab test $(PARTS)

alerts: $(VENV)/ready .debian ## alert rules, metrics page and dashboard, by Debian's promtool and Prometheus
	@$(BIN)/python -m tests.monitoring.run

manifests: $(RENDERERS)/ready ## manifests and chart: rendered by kustomize and Helm, compared, validated for each Kubernetes version
	@$(RENDERERS)/bin/python -m tests.manifests.run

image-here: $(HERE)/ready ## the image's tree by the Dockerfile's steps, from this machine's Python, without a container engine

image-test: $(HERE)/ready ## what is in that tree and what is not, and its bill of materials
	$(BIN)/python -m pytest tests/image -q -p no:cacheprovider

fuzz: $(FUZZERS)/ready ## any bytes at every parser, by atheris (FUZZ_RUNS=10000000 of each, FUZZ_SECONDS at the most)
	@$(CURDIR)/$(FUZZERS)/bin/python -m tests.fuzz --runs $(FUZZ_RUNS) --seconds $(FUZZ_SECONDS)

fuzz-short: $(FUZZERS)/ready ## some seconds of that
	@$(CURDIR)/$(FUZZERS)/bin/python -m tests.fuzz --seconds 5

mutants: $(VENV)/ready ## break the lines that matter most, one at a time: a test must fail each time (SINCE=main: those of files changed since)
	@$(BIN)/python -m tests.mutation.run $(if $(SINCE),--since $(SINCE))

locks: $(VENV)/ready ## the lock files with old and new pip, at a package index that has newer releases
	$(BIN)/python -m pytest tests/setup -q -p no:cacheprovider

steady: $(VENV)/ready ## make test 20 times in a row, half of them beside busy processors (RUNS=20; an hour)
	@bash scripts/steady.sh $(or $(RUNS),20)

# Debian 13's kernel program has no cgroup v1, and its runc needs more memory than the containers of the storm have: there the demo, lint and unit tests.
OF_BOOKWORM := test
OF_TRIXIE := lint unit
distributions: distribution-bookworm distribution-trixie ## make demo and tests in clean trees of Debian 12 and 13, with their own Python and pip (root)
distribution-bookworm: ## those on Debian 12: make demo, make test
	@bash scripts/setup-debian.sh image
	@bash scripts/distribution.sh bookworm $(OF_BOOKWORM)
distribution-trixie: ## those on Debian 13, whose Python is 3.13: make demo, make lint unit
	@bash scripts/setup-debian.sh image
	@bash scripts/distribution.sh trixie $(OF_TRIXIE)

storm: $(VENV)/ready .debian ## 10,000 kills as fast as the lab can make them, and 200 times kill -9 for the agent (an hour)
	STORM_KILLS=10000 STORM_DEATHS=200 $(BIN)/python -m tests.lab boot --memory 6G --out build/lab/storm --seconds 5400 -- \
	  $(BIN)/python -m pytest -q -s -p no:cacheprovider tests/kernel/test_storm.py

bench: $(VENV)/ready .debian-demo ## the agent beside what people use today, two hours (GROUP=start, kills, storm, cost or load for one group)
	$(BIN)/python -m tests.bench $(if $(GROUP),--group $(GROUP))

bench-page: $(VENV)/ready ## the last benchmarks' figures into docs/benchmarks.md
	$(BIN)/python -m tests.bench --page

soak: $(VENV)/ready .debian-demo ## everything at once on a real kernel, against an oracle (MINUTES=10; SEED=… for the same trouble again)
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

image: ## the image for each platform, by docker buildx (IMAGE=ghcr.io/oomward/oomward:dev PLATFORMS=linux/amd64,linux/arm64)
	docker buildx build --platform $(PLATFORMS) --tag $(IMAGE) --build-arg REVISION=$$(git rev-parse HEAD) \
	  --build-arg CREATED=$$(date --utc +%FT%TZ) $(BUILDX_FLAGS) .

image-tree: $(VENV)/ready ## the Dockerfile itself, on a clean Debian by debootstrap and buildah, and its tests (as root; five minutes)
	@bash scripts/setup-debian.sh image
	@bash scripts/image/clean-root.sh $(CLEAN)
	OOMWARD_IMAGE_TREE=$(CURDIR)/$(CLEAN)/tree $(BIN)/python -m pytest tests/image/test_tree.py tests/image/test_sbom.py tests/image/built.py -q -p no:cacheprovider
	OOMWARD_IMAGE_TREE=$(CURDIR)/$(CLEAN)/tree $(BIN)/python -m tests.lab boot --out build/lab/image -- \
	  $(BIN)/python -m pytest -q -p no:cacheprovider tests/kernel/test_image.py tests/kernel/test_least_privilege.py

sbom: $(HERE)/ready ## what is in the image, as CycloneDX JSON (TREE=… for another tree than make image-here's)
	@$(BIN)/python scripts/image/sbom.py $(or $(TREE),$(HERE)/tree) dist/oomward.cdx.json

e2e: $(VENV)/ready ## install on a cluster, herder labelled and not, restore, uninstall (KUBECONFIG=… IMAGE=…; changes that cluster)
	@$(BIN)/python -m tests.e2e

lab: $(VENV)/ready .debian-demo ## a small node on a real kernel, with containers, API and agent, and a shell on it
	$(BIN)/python -m tests.lab boot -- $(BIN)/python -m tests.lab.node

format: $(VENV)/ready ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/ready ## resolve the lock files of requirements/ afresh
	$(BIN)/python scripts/lock.py

clean: ## remove what was built or installed below this folder
	rm -rf $(VENV) .venv-demo $(LOWEST) $(RENDERERS) $(FUZZERS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

.PHONY: test-quick test-all .debian .debian-demo
.debian:
	@bash scripts/setup-debian.sh tests
	@bash scripts/setup-kernel.sh $(CURDIR)/build/uml
.debian-demo:
	@bash scripts/setup-debian.sh demo
	@bash scripts/setup-kernel.sh $(CURDIR)/build/uml

.venv-demo/ready: requirements/demo.lock pyproject.toml
	@bash scripts/setup-venv.sh $(PYTHON) .venv-demo requirements/demo.lock

$(VENV)/ready: requirements/test.lock pyproject.toml
	@bash scripts/setup-venv.sh $(PYTHON) $(VENV) requirements/test.lock

$(LOWEST)/ready: requirements/lowest.lock pyproject.toml
	@bash scripts/setup-venv.sh $(PYTHON) $(LOWEST) requirements/lowest.lock

$(FUZZERS)/ready: requirements/fuzz.lock pyproject.toml
	@bash scripts/setup-venv.sh $(PYTHON) $(FUZZERS) requirements/fuzz.lock

$(RENDERERS)/ready: requirements/manifests.lock pyproject.toml
	@bash scripts/setup-venv.sh $(PYTHON) $(RENDERERS) requirements/manifests.lock

$(HERE)/ready: $(VENV)/ready requirements/run.lock requirements/build.lock pyproject.toml README.md $(wildcard scripts/image/*) $(shell find agent -name '*.py')
	@bash scripts/image/here.sh $(BIN)/python $(HERE)
