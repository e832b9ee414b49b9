# The whole project from a bare Debian or Ubuntu machine that has python3 (>= 3.11), python3-venv, make and git.
SHELL := /bin/sh
BIN := .venv/bin
# Rendering without a display, where EGL is there (MuJoCo does not even import when asked for an absent one); looked at
# when a recipe runs, so after its packages are installed. A set variable wins.
MUJOCO_GL ?= $(shell PATH=$$PATH:/usr/sbin:/sbin; ldconfig -p 2>/dev/null | grep -q libEGL.so.1 && echo egl || echo disable)
# One thread per process: tests and simulations run in parallel processes.
OMP_NUM_THREADS ?= 1
export MUJOCO_GL OMP_NUM_THREADS
PARALLEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test check environment-demo environment-test system system-test clean

help:  ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: system environment-demo  ## train in simulation, then drive a virtual robot with the result
	$(BIN)/robostack demo

test: check  ## lint, types and import order, then every test
	$(BIN)/python -m pytest -n $(PARALLEL) -m "not wire and not graph"
	$(BIN)/python -m pytest -m "wire or graph"

check: system-test environment-test  ## lint, formatting, types and import order only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports

clean:  ## remove the environment, caches and run folders' leftovers
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

system:
	@scripts/system_packages.sh

system-test:
	@scripts/system_packages.sh test

environment-demo:
	@scripts/environment.sh ros,onnx

environment-test:
	@scripts/environment.sh all,dev
