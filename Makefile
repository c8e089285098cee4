# The same few commands for a person and for CI. `make help` lists them.
PYTHON ?= python3
ARGS ?=
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root) # in a container there is often no other user
endif
ifeq ($(LANGUAGE),zh)
FOLDER := notebooks/zh
export JUPYTER_CONFIG_PATH := $(CURDIR)/translations/zh# its labconfig lets JupyterLab speak Chinese
else
FOLDER := notebooks
endif
LAB := --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/$(FOLDER)/00_start_here.ipynb

.PHONY: help setup setup-test lab present test fuzz mutants notebooks lint lock bench experiments sweep slides core handout clean

help:                ## what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup:               ## create .venv with the exact pins of requirements.lock
	@$(PYTHON) tools/set_up.py requirements.lock

setup-test:          ## the same, with the test tools of requirements-test.lock
	@$(PYTHON) tools/set_up.py requirements-test.lock

lab: setup           ## open the course in JupyterLab (pass options with ARGS="--no-browser --port=8899"; LANGUAGE=zh: 中文)
present: setup-test  ## the same, and Ctrl+Shift+C, "Start Deck" shows the open notebook as live slides
lab present:
	@$(BIN)/python -m jupyterlab $(LAB) $(AS_ROOT) $(ARGS)

test: setup-test     ## run every test, notebooks included, side by side by file
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

fuzz: export FUZZ_INPUTS = 100100
fuzz: setup-test     ## type 100,000 mistakes into every public function; other ones with FUZZ_SEED=1 in front
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 tests/test_bad_input.py $(ARGS)

mutants: setup-test  ## plant 300 small mistakes and count those that the unit tests catch (ARGS="--seed 1 devices")
	@$(BIN)/python tools/mutants.py $(ARGS)

notebooks: setup-test  ## execute all notebooks and store them, cleaned of widget state; build the Chinese ones
	@$(BIN)/python tools/store_notebooks.py $(ARGS)
	@$(BIN)/python tools/translate_code.py
	@$(BIN)/python tools/translate_notebooks.py

lint: setup-test     ## ruff and the other checks of pre-commit
	@$(BIN)/python -m pre_commit run --all-files $(ARGS)

lock: setup-test     ## write both lock files anew from pyproject.toml
	@$(BIN)/python tools/write_locks.py

bench: setup-test    ## measure the figures of the README (some of them: ARGS="speed calls")
	@$(BIN)/python -m benchmarks $(ARGS)

experiments: setup   ## measure the stored tables anew, about 20 minutes (one of them: ARGS="windows_time_machine")
	@$(BIN)/python tools/run_experiments.py $(ARGS)

sweep: setup         ## train the course's own grids anew, about 20 minutes; stopped, it goes on where it was
	@$(BIN)/python tools/run_sweep.py $(ARGS)

slides: setup        ## the notebooks as decks for any browser, in slides/ (the short way: ARGS=--core)
	@$(BIN)/python tools/make_slides.py $(ARGS)

core: setup          ## the core path as notebooks of their own, in core/, for make lab and make present
	@$(BIN)/python tools/make_core.py

handout: setup       ## the notebooks to print: one page of HTML each, in handout/
	@$(BIN)/python tools/make_handout.py

clean:               ## remove the environment
	rm -rf .venv
