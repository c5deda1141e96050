# Sets up the environment and hands over to the command `fgsm`.
PYTHON ?= python3
PROFILE ?= demo
VENV := .venv
BIN := $(VENV)/bin
AUDIT := $(VENV)/audit/bin
OPTIONS = --profile '$(PROFILE)' $(if $(DATA),--data '$(DATA)') \
          $(if $(WEIGHTS),--weights '$(WEIGHTS)') $(if $(ARCH),--arch '$(ARCH)')

.PHONY: help site case sweep verify bench serve test slow-test lock audit publish-check demo-weights format clean
.DEFAULT_GOAL := help

help: ## list the commands
	@echo "make COMMAND [PROFILE=demo|nips2017|my.toml] [DATA=folder] [WEIGHTS=file] [ARCH=name]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16

site: $(VENV)/.site ## build the site into _build/html
	@$(BIN)/fgsm site $(OPTIONS) $(foreach sample,$(SAMPLES),--sample $(sample))

case: $(VENV)/.site ## build the site with one more case study: make case SAMPLE=323
	@$(BIN)/fgsm case $(OPTIONS) -- $(SAMPLE)

sweep: $(VENV)/.site ## only compute the table _build/<profile>/sweep.parquet
	@$(BIN)/fgsm sweep $(OPTIONS)

verify: $(VENV)/.site ## rebuild the demo site and compare all results with the reference (UPDATE=1 renews it)
	@$(BIN)/fgsm verify $(if $(filter 1,$(UPDATE)),--update)

bench: $(VENV)/.bench ## measure the sweep against other libraries and its bare passes
	@$(BIN)/fgsm bench $(OPTIONS)

serve: $(VENV)/.site ## show the built site at an address of this machine
	@$(BIN)/fgsm serve

# File by file on all cores: what a file sets up (a browser, a study) is set up once.
test: $(VENV)/.test ## run the fast tests
	@$(BIN)/python -m pytest -m "not slow" --junitxml=_build/tests/fast.xml \
	  --numprocesses=logical --maxprocesses=4 --dist=loadfile

slow-test: $(VENV)/.test ## run the slow tests: hostile files, faults, small builds
	@$(BIN)/python -m pytest -m "slow and not real" --junitxml=_build/tests/slow.xml

lock: $(AUDIT)/python ## renew requirements.lock, the hashes of every package
	@echo "# Every package of the site and of the tests with the hashes of its files on the public index." > $(VENV)/lock
	@echo "# Written by make lock from pyproject.toml and constraints.txt; used by make site LOCKED=1." >> $(VENV)/lock
	@$(AUDIT)/uv pip compile pyproject.toml --quiet --no-config --extra site --extra test \
	  --constraint constraints.txt --generate-hashes --python-version 3.11 --no-annotate \
	  --no-header --no-emit-index-url >> $(VENV)/lock && mv $(VENV)/lock requirements.lock

audit: $(AUDIT)/python ## look for unsafe code, and for packages with known vulnerabilities
	@$(AUDIT)/bandit --quiet --configfile pyproject.toml --recursive fgsm_lib notebooks
	@$(AUDIT)/pip-audit --strict --disable-pip --requirement requirements.lock \
	  2> $(VENV)/audit.log || { \
	  if grep -q -e requests.exceptions -e 'not found on PyPI' $(VENV)/audit.log; then \
	  tail -n 1 $(VENV)/audit.log; echo "make audit: the database of vulnerabilities cannot be" \
	  "asked; expected a network that reaches pypi.org itself."; \
	  else cat $(VENV)/audit.log; fi; exit 1; }

publish-check: $(VENV)/.test ## everything a release must pass, on the site that was built
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
	$(BIN)/python -m pytest

demo-weights: $(VENV)/.site ## train the demo classifier again (an hour on two cores)
	@$(BIN)/python -m fgsm_lib.demo.train

format: $(VENV)/.test ## format and lint the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

clean: ## remove everything that was built, the environment excepted
	rm -rf _build

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; found $$($(PYTHON) --version). Try make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.site: $(BIN)/python pyproject.toml constraints.txt
	@echo "setting up .venv; the first time takes a few minutes"
ifdef LOCKED
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --no-deps -e .
else
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[site]"
endif
	@touch $@

# In an environment of their own, so that they do not decide about the project's versions.
$(AUDIT)/python: $(BIN)/python
	@$(BIN)/python -m venv $(VENV)/audit
	@$@ -m pip install --quiet --disable-pip-version-check bandit==1.9.4 pip-audit==2.10.1 uv==0.13.9

# cleverhans by itself: the file that is measured needs none of its dependencies (TensorFlow's).
$(VENV)/.bench: $(VENV)/.site
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[site,bench]"
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt --no-deps cleverhans
	@touch $@

$(VENV)/.test: $(VENV)/.bench
	@echo "setting up .venv; the first time takes a few minutes"
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[site,test]"
	@touch $@
