# Foyer, by one word each. `make` alone lists them.
PYTHON ?= python3
VENV := .venv/bin/python
export PYTHON
# Where it is set, every process that a test starts compiles the whole house once more.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test lint prove bench clean
.NOTPARALLEL:

help: ## list what there is
	@echo "Foyer: make …"
	@sed -n 's/^\([a-z%-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: ## install what is missing, load the demo company into an empty database, serve on http://127.0.0.1:8080
	@bin/bootstrap
	@exec $(VENV) run.py serve --demo

test: ## install what the tests need, run ruff and every test
	@bin/bootstrap test
	$(VENV) -m ruff check .
	$(VENV) -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: ## ruff alone
	@bin/bootstrap test
	$(VENV) -m ruff check .

prove: ## what Foyer promises, shown at full size (make prove-NAME: one of them)
	@bin/bootstrap test
	@for file in tests/prove/[a-z]*.py; do $(MAKE) --no-print-directory prove-$$(basename $$file .py) || exit 1; done

prove-%:
	@bin/bootstrap test
	$(VENV) -m tests.prove.$(subst -,_,$*) $(ARGS)

bench: ## what Foyer promises about speed, measured
	@bin/bootstrap test
	@if [ -d bench ]; then $(VENV) -m bench $(ARGS); else echo "Nothing is measured yet."; fi

clean: ## remove .venv and what tools left behind; the instance folder stays
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './instance/*' -prune -exec rm -rf {} +
