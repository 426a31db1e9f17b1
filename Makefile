# Every target sets up what it needs: uv, the locked environment, this package. Needs only Python 3.11 or 3.12 and make.
PYTHON ?= python3
UV_VERSION = 0.13.9
UV = .tools/uv/bin/uv
BIN = .venv/bin
# `make test TORCH=no` leaves out torch and skips its tests.
TORCH ?= yes
TESTING = setup $(if $(filter no,$(TORCH)),,.venv/.torch)
export UV_NO_PROGRESS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all check lint types format lock atlas down clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.ready ## Make the environment in .venv from requirements.lock

demo: setup ## A real satellite cube to an explained prediction, every step a Hopsworks job
	$(BIN)/deepcube up
	$(BIN)/deepcube run drought
	@echo 'The platform stays up: try  eval "$$($(BIN)/deepcube env)"  and `hops fg list`; stop it with `make down`.'

down: setup ## Stop the platform that `make demo` left up
	$(BIN)/deepcube down

test: $(TESTING) ## Run the tests, but for the slow ones
	$(BIN)/pytest -n 3 --dist loadfile -m "not slow"

test-all: $(TESTING) ## Run all tests, as the nightly run does
	$(BIN)/pytest -n 3 --dist loadfile

check: lint types ## Lint, format check and types

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(UV) ## Resolve the dependencies again into requirements.lock and requirements-torch.lock
	$(UV) pip compile --quiet --universal --generate-hashes --extra dev --upgrade pyproject.toml -o requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-deps --upgrade --torch-backend cpu \
		--constraint requirements.lock --group torch-cpu -o requirements-torch.lock

atlas: ## Build the page of the atlas from its sources; needs Node
	deepcube/atlas/web/build.sh

clean: ## Remove what the targets made here
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis deepcube-output

.venv/.ready: requirements.lock pyproject.toml $(UV)
	test -x $(BIN)/python || $(UV) venv --quiet --python '>=3.11,<3.13' .venv
	$(UV) pip sync --quiet --require-hashes requirements.lock
	$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The CPU build of torch lies in a folder of wheels that pip was told of (PIP_FIND_LINKS), or on PyTorch's own index.
.venv/.torch: requirements-torch.lock .venv/.ready
	.tools/uv/bin/pip --python $(BIN)/python install --quiet --no-deps --require-hashes -r requirements-torch.lock \
		2>/dev/null \
	|| $(UV) pip install --quiet --no-deps --require-hashes --torch-backend cpu -r requirements-torch.lock \
	|| { echo 'No CPU build of torch could be had. Name a folder that has its wheel by PIP_FIND_LINKS,' \
		'or run `make test TORCH=no`, which skips the tests of torch.' >&2; exit 1; }
	@touch $@

$(UV):
	$(PYTHON) -m venv .tools/uv
	.tools/uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
