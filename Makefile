# Everything a newcomer types. `make` alone lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/workflow
export NO_ALBUMENTATIONS_UPDATE := 1
READY := $(VENV)/.requirements.lock
ARGS ?=
comma := ,

# Print some columns of a Markdown table, narrow enough for a terminal.
show = echo; grep -v '^|' $(1) | cat -s | fold -s -w 100; grep '^|' $(1) | cut -d '|' -f $(2); echo

.PHONY: help demo sample reproduce fetch plan doctor pack verify test lint bench clean

help: ## list these commands
	@echo "HistoBench: compare image classifiers on breast histopathology"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  ARGS=\"...\" is passed on, for example make reproduce ARGS=\"--cores 8 -n\""

$(READY): requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) was not found; install Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $$($(PYTHON) --version) is too old; HistoBench needs Python 3.11 or newer, for example make PYTHON=python3.12"; exit 1; }
	@echo "Setting up $(VENV) (once, about 6 GB with PyTorch) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet "$$(grep -o '^uv==[0-9.]*' requirements.lock)"
# Without --python, uv would change the environment that happens to be activated.
	@$(VENV)/bin/uv pip sync --quiet --python $(VENV)/bin/python requirements.lock
	@touch $@

demo: $(READY) ## a small, complete comparison on synthetic images, in minutes
	@snakemake --workflow-profile workflow/profiles/demo $(ARGS)
	@$(call show,results/studies/demo/tables/table4.md,1-5$(comma)9-)
	@$(call show,results/studies/demo/tables/table5.md,1-5$(comma)9-)
	@echo "Every table, as CSV, Markdown and LaTeX: results/studies/demo/tables"
	@echo "The report, one page to open in a browser: results/studies/demo/report.html"

sample: $(READY) ## real images: make sample SAMPLE=FOLDER (a partial BreakHis tree at 200X)
	@test -n "$(SAMPLE)" || { echo "error: say where the images are: make sample SAMPLE=FOLDER"; exit 1; }
	@snakemake --workflow-profile workflow/profiles/sample $(ARGS) \
		--config 'datasets={sample: {source: "$(SAMPLE)"}}'
	@$(call show,results/studies/sample/tables/scores.md,1-3$(comma)6-7$(comma)9$(comma)13-)
	@echo "Every table, as CSV, Markdown and LaTeX: results/studies/sample/tables"
	@echo "The report, one page to open in a browser: results/studies/sample/report.html"

reproduce: $(READY) ## the paper's study: downloads images and weights, wants a GPU
	@snakemake $(ARGS)

fetch: $(READY) ## all downloads of the paper's study, and nothing else
	@snakemake fetch --keep-going $(ARGS)

plan: $(READY) ## the study as a table: what is done, and what the rest takes
	@python -m histobench.tools.plan $(ARGS)

doctor: $(READY) ## can this machine run the study, and what to do next?
	@python -m histobench.tools.doctor $(ARGS)

pack: $(READY) ## a finished study as one archive to pass on, without images: ARGS="--configfile FILE"
	@python -m histobench.tools.pack $(ARGS)

verify: $(READY) ## check such an archive and rebuild its tables: make verify ARCHIVE=FILE
	@test -n "$(ARCHIVE)" || { echo "error: say which archive: make verify ARCHIVE=FILE"; exit 1; }
	@python -m histobench.tools.verify "$(ARCHIVE)"

test: $(READY) ## every test that this machine can run
	@python -m pytest $(ARGS)

lint: $(READY) ## style, types, and Snakemake's own linter
	@ruff check . && ruff format --check .
	@snakefmt --check Snakefile workflow
	@basedpyright
	@snakemake --lint

bench: $(READY) ## speed and memory, measured on this machine
	@python -m benchmarks $(ARGS)

clean: ## remove the demo's and sample's results (the paper's stay)
	@rm -rf results/studies/demo results/studies/sample results/synthetic results/synthetic-bach results/sample
