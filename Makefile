# The package's own commands; `make help` lists them. Each sets up the virtual environment it needs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check -q
# most tests wait more than they compute
WORKERS ?= 3

.PHONY: help demo test check format bench constraints clean races chaos chaos-full docs reference package fuzz lowest audit bench-full matrix e2e coverage mutation

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.package: pyproject.toml constraints.txt
	@echo "setting up $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install 'pip>=25.1'
	@$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.package
	@echo "adding what tests and checks need ..."
	@$(PIP) install -c constraints.txt -e '.[email,s3,fast,analytics]' --group dev
	@touch $@

demo: $(VENV)/.package ## track a real flow, keep its history, write its report; everything under demo-output/
	@$(BIN)/python flows/demo.py

test: $(VENV)/.dev ## run the tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

check: $(VENV)/.dev ## ruff, mypy --strict, import-linter, pages made of the code
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python docs/mkdocs/make_reference.py --check

docs: $(VENV)/.docs ## build the site into site/, strict; needs no network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -f docs/mkdocs/mkdocs.yml

$(VENV)/.docs: $(VENV)/.package
	@$(PIP) install -c constraints.txt --group docs
	@touch $@

package: $(VENV)/.dev ## build wheel and sdist, and try the wheel alone in a clean environment, with what it asks for
	@TRACKRECORD_PACKAGING=1 $(BIN)/python -m pytest tests/packaging

reference: $(VENV)/.dev ## write the pages that are made of the code
	@$(BIN)/python docs/mkdocs/make_reference.py

fuzz: $(VENV)/.dev ## hostile input for all that reads, 5,000 times each
	@TRACKRECORD_FUZZ=5000 $(BIN)/python -m pytest tests/security/test_fuzz.py --timeout 3600

lowest: ## the tests against the oldest versions that are allowed (needs uv)
	@uv venv -q --allow-existing -p 3.10 .venv-lowest
	@uv pip install -q -p .venv-lowest --resolution lowest-direct -e '.[email,s3]' --group test
	@.venv-lowest/bin/python -m pytest -n $(WORKERS) --dist loadgroup

audit: $(VENV)/.dev ## ask the advisory database about what constraints.txt pins (needs network)
	@$(PIP) install pip-audit
	@$(BIN)/pip-audit -r constraints.txt --no-deps --disable-pip --strict  # what could not be asked about is no pass

format: $(VENV)/.dev ## put the code into its form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev ## how fast it is, in small: one table against floors and peers, below three minutes
	@$(BIN)/python tests/benchmarks/scale.py

bench-full: $(VENV)/.dev ## the same at 100,000 runs and 10,000,000 file rows, into docs/benchmarks.md; what a flow pays
	@$(BIN)/python tests/benchmarks/scale.py --full --write docs/benchmarks.md
	@$(BIN)/python tests/benchmarks/overhead.py

chaos: $(VENV)/.dev ## the kill matrix: 60 kills of every kind of process, on a folder, S3 and Azure (needs azurite-blob)
	@$(BIN)/python tests/chaos/kills.py --kills 60 --seed 1

chaos-full: $(VENV)/.dev ## the kill matrix with 300 kills and its control, which must lose; into docs/kill-matrix.md
	@rm -f docs/kill-matrix.json
	@for seed in 1 2 3 4 5 6; do $(BIN)/python tests/chaos/kills.py --kills 50 --seed $$seed --add docs/kill-matrix.json || exit; done
	@$(BIN)/python tests/chaos/kills.py --kills 30 --seed 1 --victims flow,pool,sealer --sabotage --add docs/kill-matrix.json
	@$(BIN)/python tests/chaos/figures.py docs/kill-matrix.json docs/kill-matrix.md

races: $(VENV)/.dev ## two sealers and a zombie writer, 100 rounds on each store
	@$(BIN)/python tests/benchmarks/races.py

e2e: $(VENV)/.dev ## all tests with a real server, worker and browser; the long ones too (make test leaves those out)
	@E2E_ALL=1 $(BIN)/python -m pytest tests/e2e

coverage: $(VENV)/.dev ## the tests with branches counted, of subprocesses too; the report is in .coverage.txt
	@$(PIP) install pytest-cov
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest -n $(WORKERS) --dist loadgroup
	@$(BIN)/python -m coverage combine -q
	@$(BIN)/python -m coverage report > .coverage.txt; tail -1 .coverage.txt

mutation: $(VENV)/.dev ## whether the tests notice small faults in the seal, the journal and the ledger; half an hour
	@$(BIN)/python tests/mutation/run.py --most 0

matrix: ## the quick tests on every Python from 3.10, with the pinned, the oldest and the newest Prefect; half an hour
	@sh tests/matrix.sh

constraints: ## make constraints.txt anew (needs uv)
	@head -3 constraints.txt > .constraints.new
	@printf 'prefect==3.8.8\nfastapi<0.151\nsqlalchemy<2.1\n' > .constraints.in
	@uv pip compile -q --universal -p 3.10 --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--all-extras --group dev --group docs -c .constraints.in pyproject.toml >> .constraints.new
	@mv .constraints.new constraints.txt && rm .constraints.in

clean: ## remove what these commands made
	rm -rf $(VENV) .venv-lowest .matrix site demo-output dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*
