# Everything the project does by hand. `make demo` and `make test` need Python 3.11, make and git.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench bench-building bench-decode bench-language bench-loading sample clean

demo: $(VENV)/build-ready  ## Run both pipelines on the embedded mini-web, into mella-demo/
	$(BIN)/mella-build demo --out mella-demo

test: $(VENV)/dev-ready  ## Run the tests
	$(BIN)/python -m pytest

lint: $(VENV)/dev-ready  ## Check style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/dev-ready  ## Measure speed beside peers; run nothing else meanwhile
	$(BIN)/python benchmarks/shards.py

bench-language: $(VENV)/dev-ready  ## Measure the language step; gets CLDR's emoji names from npm
	mkdir -p build && cd build && npm pack --silent cldr-annotations-full && tar xzf cldr-annotations-full-*.tgz
	$(BIN)/python benchmarks/language_id.py build/package/annotations build

bench-building: $(VENV)/dev-ready  ## Measure building beside peers; gets documentation from Debian, peers from PyPI
	mkdir -p build && $(BIN)/python benchmarks/candidates.py build/candidates
	$(PYTHON) -m venv build/peer && build/peer/bin/pip install --quiet img2dataset
	$(BIN)/python benchmarks/fetching.py build/peer/bin/python
	$(BIN)/pip install --quiet imagehash && $(BIN)/python benchmarks/hashing.py
	$(BIN)/python benchmarks/shards.py

bench-decode: $(VENV)/dev-ready  ## Measure decoding; docs/decoding.md says how to get the photos
	$(BIN)/python benchmarks/decode.py build/photos

bench-loading: $(VENV)/dev-ready  ## Measure loading beside peers; gets photos and nginx from Debian
	$(BIN)/python benchmarks/loading.py

sample: $(VENV)/dev-ready  ## Build the embedded sample anew
	rm -rf build/sample
	$(BIN)/mella-build demo --out build/sample
	find mella/sample -mindepth 1 ! -name __init__.py -delete
	cp -r build/sample/data/. mella/sample
	rm -r mella/sample/provenance  # the recipes are in builders/miniweb

clean:  ## Remove what the other targets made
	rm -rf $(VENV) build dist mella-demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/build-ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[build]'
	touch $@

$(VENV)/dev-ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/build-ready
