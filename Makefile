# Every target makes what it needs. PYTHON is the interpreter for the virtual environment (3.11 or newer).
# TESTS are the files or folders that `test` and `coverage` run: make test TESTS=tests/unit
PYTHON ?= python3
TESTS ?= tests
VENV := .venv
BIN := $(VENV)/bin
PARALLEL := -n 6 --dist worksteal

.PHONY: help demo test test-portable test-aws test-aws-clean coverage fuzz check format bench docs man picture screens lock audit-deps clean
help:
	@echo "make demo | test | test-portable | test-aws | test-aws-clean | coverage | fuzz | check | format | bench | docs | man | picture | screens | lock | audit-deps | clean"

$(VENV)/.ready: requirements/dev.txt pyproject.toml scripts/make-venv
	scripts/make-venv "$(PYTHON)" "$(VENV)"
	@touch $@

demo: $(VENV)/.ready
	$(BIN)/eicctl demo

test: $(VENV)/.ready
	$(BIN)/pytest $(PARALLEL) $(TESTS)

# What Windows runs, with the modules hidden that Python lacks there.
test-portable: $(VENV)/.ready
	EICCTL_TESTS_PLATFORM=win32 $(BIN)/pytest $(PARALLEL) $(TESTS)

# The tests on real AWS: EICCTL_LIVE=1 make test-aws LIVE="--with windows,rds". They say what they create and cost, and ask.
test-aws: $(VENV)/.ready
	$(BIN)/python -m tests.live run $(LIVE)

# What a killed run has left, found by its tag.
test-aws-clean: $(VENV)/.ready
	$(BIN)/python -m tests.live clean $(LIVE)

# The share of eicctl's lines that run: in the tests' processes, and in all that they start. Takes half as long again.
coverage: $(VENV)/.ready
	rm -rf build/coverage
	mkdir -p build/coverage
	$(BIN)/coverage run -m pytest $(PARALLEL) $(TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

fuzz: $(VENV)/.ready
	EICCTL_FUZZ=$${EICCTL_FUZZ:-5000} $(BIN)/pytest $(PARALLEL) -o timeout=0 tests/unit/test_fuzz_*.py tests/integration/test_hostile_agent.py

check: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python scripts/check_docs.py
	$(BIN)/python scripts/make_docs.py --check
	$(BIN)/python scripts/check_github.py

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.ready
	$(BIN)/python -m benchmarks

docs: $(VENV)/.ready
	$(BIN)/python scripts/make_docs.py

man: $(VENV)/.ready
	$(BIN)/eicctl man --directory build/man/man1

# The picture in the README, from a real run, and that of the rooms, by Graphviz.
picture: $(VENV)/.ready
	$(BIN)/python scripts/make_picture.py
	$(BIN)/python scripts/structure.py --dot | dot -Tsvg -o docs/images/rooms.svg

# The pictures of the console, from real runs: make screens PANES="tunnels audit"
screens: $(VENV)/.ready
	$(BIN)/python scripts/make_screens.py $(PANES)

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra local --extra socks --extra ui --group dev \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -o requirements/dev.txt pyproject.toml

# Known vulnerabilities; needs the network, and says so where there is none.
audit-deps: $(VENV)/.ready
	$(BIN)/python scripts/audit_deps.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build site
