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
LOWEST_TESTS := cgroup commands events faults fleet hostile kernel kube loop metrics pods run runtime settings wording
TESTS ?= quick
COVERAGE ?= --cov --cov-report=term:skip-covered
DEMO_SECONDS ?= 60
STARTS ?= 250
# What is set up already is no prerequisite: a target that waits for one would start last, and the longest must start first.
SET_UP := .debian
TREES := .systemd
BROWSER := .debian-browser
EMULATED := .emulated
FUZZ_RUNS ?= 10000000
FUZZ_SECONDS ?= 0
export DEMO_SECONDS
export PYTHON
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help demo demo-picture fleet-picture test lint unit lowest alerts browser report-pictures manifests mutants fuzz fuzz-short image-here image-test kernel systemd locks steady distributions distribution-bookworm distribution-trixie storm bench bench-page soak image image-tree sbom version release-dry-run e2e lab emulated format lock clean

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: .debian-demo $(DEMO)/ready ## show the main job on a real kernel; needs no cluster (DEMO_SECONDS=60)
	@$(DEMO)/bin/python -m tests.demo

demo-picture: .debian-demo $(VENV)/ready ## run the demo and write its pictures (docs/pictures)
	@$(BIN)/python -m tests.demo
	@$(BIN)/python -m tests.demo.picture

test: test-$(TESTS) ## the tests for every change; TESTS=all: all tests, before a release

# Parts on a kernel wait for half of their time: the others run beside them.
test-quick: export OOMWARD_TESTS := quick
test-quick:
	@bash scripts/setup-debian.sh python
	@$(MAKE) --no-print-directory -j2 .debian $(HERE)/ready
	@echo "Running lint, unit tests, alerts, and tests of the image and on real kernels, side by side. Each prints its output when it is done."
	@$(MAKE) --no-print-directory -j3 -Otarget kernel lint unit alerts image-test SET_UP= PARTS=--quick COVERAGE= UNIT='-m "not long"'
	@echo "Not run: longer tests, other kernel tests, the emulated PC, oldest libraries, manifests, the browser, fuzzing, coverage. For all tests: make test TESTS=all"

test-all: .debian .debian-browser .emulated
	@$(MAKE) --no-print-directory $(VENV)/ready $(HERE)/ready .systemd
	@$(MAKE) --no-print-directory -j3 -Otarget kernel systemd emulated lint unit lowest alerts browser manifests image-test fuzz-short locks STARTS=60 SET_UP= TREES= BROWSER= EMULATED=

lint: $(VENV)/ready ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: $(VENV)/ready ## tests that need no root and no special kernel, with coverage
	$(BIN)/python -m pytest tests/unit -n auto $(UNIT) $(COVERAGE) -q

lowest: $(LOWEST)/ready ## unit tests of rooms that use a library, with the oldest versions allowed by pyproject.toml
	$(LOWEST)/bin/python -m pytest $(LOWEST_TESTS:%=tests/unit/%) --ignore tests/unit/commands/test_documents.py -q -p no:cacheprovider

kernel: $(SET_UP) $(VENV)/ready $(HERE)/ready ## tests on a real kernel with runc and crun (boots one if the host's is not suitable)
	$(BIN)/python -m tests.lab test $(PARTS)

systemd: $(SET_UP) $(TREES) $(VENV)/ready ## tests beside a real systemd and containerd, Debian 13's and the newest (makes their trees with debootstrap, as root; STARTS=250)
	STARTS=$(STARTS) $(BIN)/python -m tests.lab test --systemd

emulated: $(EMULATED) $(VENV)/ready ## tests on an emulated PC with Debian's kernel, which has cgroup v2 and PSI, and with a slow disk (five minutes)
	$(BIN)/python -m tests.lab test --emulated

alerts: $(VENV)/ready $(SET_UP) ## test alert rules, metrics page and dashboard with promtool and Prometheus from Debian
	@$(BIN)/python -m tests.monitoring.run

browser: $(BROWSER) $(VENV)/ready ## test the report page in Chromium from Debian: on a phone, a wide screen and paper, light and dark
	@$(BIN)/python -m tests.browser.run

fleet-picture: $(VENV)/ready ## run kubectl oomward against simulated agents and write its picture (docs/pictures)
	@$(BIN)/python -m tests.demo.fleet

report-pictures: .debian-browser $(VENV)/ready ## write the pictures of the report page (docs/pictures)
	@$(BIN)/python -m tests.browser.pictures

manifests: $(RENDERERS)/ready $(VENV)/ready ## render manifests and chart with kustomize and Helm, compare and validate them for each Kubernetes version; kubectl oomward with that kubectl
	@$(RENDERERS)/bin/python -m tests.manifests.run
	@KUBECTL=$(CURDIR)/$(RENDERERS)/bin/kubectl $(BIN)/python -m pytest tests/plugin -q -p no:cacheprovider

image-here: $(HERE)/ready ## build the image's file tree with the Dockerfile's steps and this machine's Python, without a container engine

image-test: $(HERE)/ready ## test the content of that tree and its bill of materials
	$(BIN)/python -m pytest tests/image -q -p no:cacheprovider

fuzz: $(FUZZERS)/ready ## fuzz every parser with atheris (FUZZ_RUNS=10000000 runs each, at most FUZZ_SECONDS)
	@$(CURDIR)/$(FUZZERS)/bin/python -m tests.fuzz --runs $(FUZZ_RUNS) --seconds $(FUZZ_SECONDS)

fuzz-short: $(FUZZERS)/ready ## fuzz for some seconds
	@$(CURDIR)/$(FUZZERS)/bin/python -m tests.fuzz --seconds 5

mutants: $(VENV)/ready ## break important lines one at a time: a test must fail each time (SINCE=main: only in files changed since)
	@$(BIN)/python -m tests.mutation.run $(if $(SINCE),--since $(SINCE))

locks: $(VENV)/ready ## test the lock files with old and new pip and a package index with newer releases
	$(BIN)/python -m pytest tests/setup -q -p no:cacheprovider

steady: $(VENV)/ready ## run make test 20 times, half of them with busy processors (RUNS=20; one hour)
	@bash scripts/steady.sh $(or $(RUNS),20)

# Debian 13's kernel program has no cgroup v1, and its runc needs more memory than the containers of the storm have: there the demo, lint and unit tests.
OF_BOOKWORM := test
OF_TRIXIE := .debian lint unit
distributions: distribution-bookworm distribution-trixie ## run demo and tests in clean trees of Debian 12 and 13, with their own Python and pip (root)
distribution-bookworm: ## on Debian 12: make demo, make test
	@bash scripts/setup-debian.sh image
	@bash scripts/distribution.sh bookworm $(OF_BOOKWORM)
distribution-trixie: ## on Debian 13 (Python 3.13): make demo, make lint unit
	@bash scripts/setup-debian.sh image
	@bash scripts/distribution.sh trixie $(OF_TRIXIE)

storm: $(VENV)/ready .debian ## twice 10,000 kills as fast as possible, once with 200 times kill -9 of the agent, and others, in between (one hour)
	STORM_KILLS=10000 STORM_DEATHS=200 $(BIN)/python -m tests.lab boot --memory 6G --out build/lab/storm --seconds 5400 -- \
	  $(BIN)/python -m pytest -q -s -p no:cacheprovider tests/kernel/test_storm.py

bench: $(VENV)/ready .debian-demo ## benchmark the agent against other tools, two hours (GROUP=start, kills, storm, cost, load or fleet for one group)
	$(BIN)/python -m tests.bench $(if $(GROUP),--group $(GROUP))

bench-page: $(VENV)/ready ## write the last benchmark results into docs/benchmarks.md
	$(BIN)/python -m tests.bench --page

soak: $(VENV)/ready .debian-demo $(if $(filter all,$(KIND)),.systemd) ## hostile tenants beside honest ones on a real kernel; KIND=node: all trouble of a node; KIND=all: everything at once, beside systemd and containerd (MINUTES=10; SEED=… to repeat a run)
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),10) --kind $(or $(KIND),tenants) $(if $(SEED),--seed $(SEED))

image: ## build the image for each platform with docker buildx (IMAGE=ghcr.io/oomward/oomward:dev PLATFORMS=linux/amd64,linux/arm64)
	docker buildx build --platform $(PLATFORMS) --tag $(IMAGE) --build-arg REVISION=$$(git rev-parse HEAD) \
	  --build-arg CREATED=$$(date --utc +%FT%TZ) $(BUILDX_FLAGS) .

image-tree: $(VENV)/ready ## build the Dockerfile on a clean Debian with debootstrap and buildah, and test it (as root; five minutes)
	@bash scripts/setup-debian.sh image
	@bash scripts/image/clean-root.sh $(CLEAN)
	OOMWARD_IMAGE_TREE=$(CURDIR)/$(CLEAN)/tree $(BIN)/python -m pytest tests/image/test_tree.py tests/image/test_sbom.py tests/image/built.py -q -p no:cacheprovider
	OOMWARD_IMAGE_TREE=$(CURDIR)/$(CLEAN)/tree $(BIN)/python -m tests.lab boot --out build/lab/image -- \
	  $(BIN)/python -m pytest -q -p no:cacheprovider tests/kernel/test_image.py tests/kernel/test_least_privilege.py

sbom: $(HERE)/ready ## write the image's bill of materials as CycloneDX JSON (TREE=…: default is the tree of make image-here)
	@$(BIN)/python scripts/image/sbom.py $(or $(TREE),$(HERE)/tree) dist/oomward.cdx.json

version: $(VENV)/ready ## write the version of agent/__init__.py into manifests, chart, Dockerfile and docs
	@$(BIN)/python scripts/release/version.py

release-dry-run: $(HERE)/ready $(RENDERERS)/ready ## make all that a release publishes, and publish it to a registry on this machine (as root): dist/release
	PYTHON=$(BIN)/python RENDERER=$(RENDERERS)/bin/python bash scripts/release/dry-run.sh $(CURDIR)/dist/release $(CURDIR)/$(HERE)/tree

e2e: $(VENV)/ready ## test on a cluster: install, herder with and without label, restore, uninstall (KUBECONFIG=… IMAGE=…; changes that cluster)
	@$(BIN)/python -m tests.e2e

lab: $(VENV)/ready .debian-demo ## start a small node on a real kernel, with containers, API, agent and a shell
	$(BIN)/python -m tests.lab boot -- $(BIN)/python -m tests.lab.node

format: $(VENV)/ready ## format the code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/ready ## resolve the lock files in requirements/ again
	$(BIN)/python scripts/lock.py

clean: ## remove everything built or installed in this directory
	rm -rf $(VENV) .venv-demo $(LOWEST) $(RENDERERS) $(FUZZERS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

.PHONY: test-quick test-all .debian .debian-browser .debian-demo .systemd .emulated
.debian:
	@bash scripts/setup-debian.sh tests
	@bash scripts/setup-kernel.sh $(CURDIR)/build/uml
.debian-browser:
	@bash scripts/setup-debian.sh browser
.systemd:
	@bash scripts/setup-systemd.sh $(CURDIR)/build/systemd trixie
	@bash scripts/setup-systemd.sh $(CURDIR)/build/systemd testing
.emulated:
	@bash scripts/setup-debian.sh emulated
	@bash scripts/setup-emulated.sh $(CURDIR)/build/emulated
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
