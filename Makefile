# Needs Python 3.11 or newer and nothing else; `make` alone lists the targets.
#
# .venv holds the versions named in constraints.txt. A Python named on the command line
# (make test PYTHON=python3.13) gets an environment of its own, .venv-3.13, with the newest
# release of everything; a variable PYTHON of the shell is ignored.

PYTHON = python3
ifeq ($(origin PYTHON),command line)
VENV := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
CONSTRAINTS =
else
VENV = .venv
CONSTRAINTS = constraints.txt
endif

# The exact CPU build or none: where there is no such build for a Python, the name alone
# would bring gigabytes of CUDA libraries.
TORCH := $(shell sed -n '/^torch==.*+cpu$$/p' constraints.txt)

# Only wheels: a missing one fails at once by name instead of compiling for half an hour.
INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	--only-binary :all: \
	$(if $(CONSTRAINTS),-c $(CONSTRAINTS),--upgrade --upgrade-strategy eager)

SELECT =
ARGS =

.PHONY: help demo test test-oldest lint clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo                    solve two systems, with and without the preconditioner'
	@echo 'make test [ARGS="-k name"]   run the tests; ARGS goes to pytest'
	@echo 'make test PYTHON=python3.13  the same in .venv-3.13, with the newest SciPy'
	@echo 'make test-oldest             the contract tests with the oldest NumPy and SciPy we take'
	@echo '                             (these have wheels for Python 3.11 and 3.12)'
	@echo 'make lint                    check style and docstrings'
	@echo 'make clean                   remove everything made here, environments included'

demo: $(VENV)/.installed-demo
	$(VENV)/bin/python -m autospec_precond demo

test: $(VENV)/.installed-test $(if $(TORCH),$(VENV)/.installed-torch)
	$(VENV)/bin/python -m pytest $(SELECT) $(ARGS)

test-oldest:
	@$(MAKE) --no-print-directory test VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt \
		TORCH= SELECT='-m contract'

lint: $(VENV)/.installed-lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/numpydoc lint $$(find autospec_precond -name '*.py' | sort)

clean:
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
		"autospec_precond needs Python 3.11 or newer; got %d.%d. " % v[:2] + \
		"Name one: make demo PYTHON=python3.13")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%: setup.cfg pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(INSTALL) -e '.[$*]'
	@touch $@

# No stamp where there is no build: it is cheap to ask again, and one may have appeared.
$(VENV)/.installed-torch: constraints.txt | $(VENV)/.installed-test
	@if $(INSTALL) '$(TORCH)' 2> $(VENV)/torch.log; then touch $@; else \
		echo 'pip finds no $(TORCH) for this Python (see $(VENV)/torch.log):' \
			'the training tests will be skipped'; \
	fi
