# The commands of the project; `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.requirements.lock
ARGS ?=
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/workflow
export NO_ALBUMENTATIONS_UPDATE := 1
# Recipes take them from the environment, which changes no quote, space or dollar sign in them.
export ARCHIVE ARCHIVES ARM CONFIG IMAGES PREDICTIONS RUN SAMPLE SPLIT TABLE
# As JSON, which YAML reads, whatever characters the path has.
export SAMPLE_CONFIG := import json, os; print("datasets=" + json.dumps({"sample": {"source": os.environ["SAMPLE"]}}, ensure_ascii=False))

# Snakemake, one at a time in a folder, with few lines on the terminal.
SNAKEMAKE := python -m histobench.tools.run
CONFIGFILE := $(if $(CONFIG),--configfile "$$CONFIG")

.PHONY: help demo sample reproduce study fetch predict audit doctor plan pack verify leaderboard test test-all lint bench schema lock clean

help: ## list these commands
	@awk -F ':.*## ' 'BEGIN {print "HistoBench: compare image classifiers on breast histopathology\n"} \
		/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2} \
		END {print "\n  ARGS=\"...\" is passed on, for example make reproduce ARGS=\"--cores 8 -n\""}' Makefile

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
	@$(SNAKEMAKE) --workflow-profile workflow/profiles/demo $(ARGS)

sample: $(READY) ## real images: make sample SAMPLE=FOLDER (a partial BreakHis tree at 200X)
	@test -n "$$SAMPLE" || { echo "error: say where the images are: make sample SAMPLE=FOLDER"; exit 1; }
	@$(SNAKEMAKE) --workflow-profile workflow/profiles/sample $(ARGS) --config "$$(python -c "$$SAMPLE_CONFIG")"

reproduce: $(READY) ## the paper's study: downloads images and weights, needs a GPU
	@$(SNAKEMAKE) $(ARGS)

study: $(READY) ## any study: make study CONFIG=config/studies/mine.yaml
	@$(SNAKEMAKE) $(CONFIGFILE) $(ARGS)

fetch: $(READY) ## all downloads of the paper's study, and nothing else
	@$(SNAKEMAKE) fetch --keep-going $(ARGS)

predict: $(READY) ## images of yours, with heat maps: make predict IMAGES=FOLDER RUN=results/.../fold1
	@test -n "$$IMAGES" || { echo "error: say where the images are: make predict IMAGES=FOLDER RUN=results/.../fold1"; exit 1; }
	@python -m histobench.tools.predict $(CONFIGFILE) --images "$$IMAGES" $(if $(RUN),--run "$$RUN") $(if $(ARM),--arm "$$ARM") $(ARGS)

audit: $(READY) ## someone's evaluation: make audit SPLIT="FILE..." PREDICTIONS="FILE..." TABLE=FILE
	@python -m histobench.audit --from-environment $(ARGS)

doctor: $(READY) ## can this machine run the study, and what to do next?
	@python -m histobench.tools.doctor $(CONFIGFILE) $(ARGS)

plan: $(READY) ## the study as a table: what is done, and how long the rest takes
	@python -m histobench.tools.plan $(CONFIGFILE) $(ARGS)

pack: $(READY) ## a finished study as one archive, without images: make pack CONFIG=FILE
	@python -m histobench.tools.pack $(CONFIGFILE) $(ARGS)

verify: $(READY) ## check such an archive and rebuild its tables: make verify ARCHIVE=FILE
	@test -n "$$ARCHIVE" || { echo "error: say which archive: make verify ARCHIVE=FILE"; exit 1; }
	@python -m histobench.tools.verify "$$ARCHIVE"

leaderboard: $(READY) ## arms of several such archives in one table: make leaderboard ARCHIVES="FILE..."
	@python -m histobench.tools.leaderboard --from-environment $(ARGS)

test: $(READY) ## the fast tests, and one tiny study through the true workflow
	@python -m pytest -m "not slow" $(ARGS)

test-all: $(READY) ## every test that this machine can run
	@python -m pytest $(ARGS)

lint: $(READY) ## style, types, and Snakemake's own linter
	@ruff check . && ruff format --check .
	@snakefmt --check Snakefile workflow
	@basedpyright
	@snakemake --lint

bench: $(READY) ## speed and memory, measured on this machine
	@python -m benchmarks $(ARGS)

schema: $(READY) ## write workflow/schemas/config.schema.json again
	@python -m histobench.study.schema > workflow/schemas/config.schema.json

lock: $(READY) ## write requirements.lock again, after a change of pyproject.toml
	@uv pip compile --quiet --universal --generate-hashes --extra dev pyproject.toml -o requirements.lock

KEY := $(subst x,[0-9a-f],xxxxxxxx)
clean: ## remove the demo's and sample's results (the paper's stay)
	@rm -rf results/studies/demo results/studies/sample $(foreach name,synthetic synthetic-bach sample,results/$(name)-$(KEY))
