# Sets up the environment in .venv and calls doit, pytest or the command fgsm.
PYTHON ?= python3
PROFILE ?= demo
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
AUDIT := $(VENV)/audit/bin
VIEWERS := $(VENV)/etc/jupyter/labconfig/default_setting_overrides.json
export PROFILE DATA WEIGHTS ARCH SAMPLES

# What dodo.py takes from the environment, as options of the command fgsm.
OPTIONS = --profile '$(PROFILE)' $(if $(DATA),--data '$(DATA)') $(if $(ARCH),--arch '$(ARCH)') \
          $(if $(WEIGHTS),--weights '$(WEIGHTS)')
MACHINE = $(if $(SCHEDULER),--scheduler '$(SCHEDULER)') $(if $(BATCH),--batch '$(BATCH)') \
          $(if $(WORKERS),--workers '$(WORKERS)')

KNOWN := PROFILE DATA WEIGHTS ARCH SAMPLES SAMPLE SCHEDULER BATCH WORKERS UPDATE PORT PYTHON LOCKED
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
UNKNOWN := $(filter-out $(KNOWN) MAKEFLAGS,$(GIVEN))
ifneq ($(UNKNOWN),)
$(error there is no variable $(UNKNOWN); expected $(KNOWN))
endif

ifneq ($(filter case,$(MAKECMDGOALS)),)
ifeq ($(strip $(SAMPLE)),)
$(error make case needs a sample; expected, for example, make case SAMPLE=323)
endif
endif

.PHONY: help site case sweep fetch verify test slow-test bench serve lab lock audit format clean
.DEFAULT_GOAL := help

help: ## list the commands
	@echo "make COMMAND [PROFILE=demo|nips2017|my.toml] [DATA=folder] [WEIGHTS=file] [ARCH=name]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 14

site: $(VENV)/.site ## build the site into _build/html
	@$(BIN)/python -m doit

case: $(VENV)/.site ## build the site with one more case study: make case SAMPLE=323
	@SAMPLES='$(SAMPLES) $(SAMPLE)' $(BIN)/python -m doit
	@echo "its page: _build/html/case-$(strip $(SAMPLE)).html"

sweep: $(VENV)/.site ## only compute the table (SCHEDULER=tcp://host:8786, BATCH=, WORKERS=)
	@$(BIN)/fgsm sweep $(OPTIONS) $(MACHINE)

fetch: $(VENV)/.site ## fetch the 1000 photographs into _build/nips2017/data, or into DATA=folder
	@$(BIN)/fgsm fetch nips2017 $(if $(DATA),--to '$(DATA)')

verify: $(VENV)/.test ## build the site, compare its numbers with tests/test_values (UPDATE=1 renews it)
	@$(BIN)/python -m doit
	@$(BIN)/python -m pytest tests/test_values.py -m "not slow" $(if $(filter 1,$(UPDATE)),--regen-all)

# File by file on all cores, in the order of tests/conftest.py: what a file sets up (a browser, a
# study) is set up once.
test: $(VENV)/.test ## run the fast tests
	@$(BIN)/python -m pytest -m "not slow" --numprocesses=logical --maxprocesses=4 --dist=loadfile \
	  --no-loadscope-reorder

slow-test: $(VENV)/.test ## run the slow tests: hostile files, faults, notebooks in empty environments
	@$(BIN)/python -m pytest -m "slow and not real"

bench: $(VENV)/.bench ## measure the sweep against other libraries and its bare passes
	@$(BIN)/python demo/speed.py

serve: ## show the built site at an address of this machine (PORT=8000)
	@test -f _build/html/index.html || { echo "no site in _build/html; expected one by make site"; exit 1; }
	@$(PYTHON) -m http.server --bind 127.0.0.1 --directory _build/html '$(PORT)'

lab: $(VENV)/.site $(VIEWERS) ## open the notebooks in JupyterLab; what is saved stays a script
	@$(BIN)/jupyter lab notebooks

lock: $(AUDIT)/python ## renew requirements.lock, the hashes of every package; asks pypi.org
	@echo "# Every package of the site and of the tests with the hashes of its files on the public index." > $(VENV)/lock
	@echo "# Written by make lock from pyproject.toml and constraints.txt; used by make site LOCKED=1." >> $(VENV)/lock
	@$(AUDIT)/uv pip compile pyproject.toml --quiet --no-config --extra site --extra test \
	  --constraint constraints.txt --generate-hashes --python-version 3.11 --no-annotate \
	  --no-header --no-emit-index-url >> $(VENV)/lock && mv $(VENV)/lock requirements.lock || { \
	  echo "make lock: requirements.lock is as it was; expected a network that reaches pypi.org."; exit 1; }

audit: $(AUDIT)/python ## look for unsafe code, and for packages with known vulnerabilities
	@$(AUDIT)/bandit --quiet --configfile pyproject.toml --recursive fgsm_lib notebooks book dodo.py
	@$(AUDIT)/pip-audit --strict --disable-pip --requirement requirements.lock \
	  2> $(VENV)/audit.log || { \
	  if grep -q -e requests.exceptions -e 'not found on PyPI' $(VENV)/audit.log; then \
	  tail -n 1 $(VENV)/audit.log; echo "make audit: the database of vulnerabilities cannot be" \
	  "asked; expected a network that reaches pypi.org itself."; \
	  else cat $(VENV)/audit.log; fi; exit 1; }

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
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
else
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[site]"
endif
	@touch $@

# JupyterLab opens scripts as notebooks in this environment, whatever it does elsewhere.
$(VIEWERS): $(VENV)/.site
	@$(BIN)/jupytext-config --settings-file $@ set-default-viewer python

# cleverhans by itself: the file that is measured needs none of its dependencies (TensorFlow's).
$(VENV)/.bench: $(VENV)/.site
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[site,bench]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps cleverhans
	@touch $@

$(VENV)/.test: $(VENV)/.bench
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $@

# In an environment of their own, so that they do not decide about the project's versions.
$(AUDIT)/python: $(BIN)/python
	@$(BIN)/python -m venv $(VENV)/audit
	@$@ -m pip install --quiet --disable-pip-version-check bandit==1.9.4 pip-audit==2.10.1 uv==0.13.9
