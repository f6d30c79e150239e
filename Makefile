# Two commands do everything on a machine with Python 3.11 to 3.13 and make:
#   make train ENV=cartpole ALGO=directed
#   make test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_VENV := .venv-bench
BENCH_READY := $(BENCH_VENV)/.ready
BOX2D_VENV := .venv-box2d
BOX2D_READY := $(BOX2D_VENV)/.ready

comma := ,

# An NVIDIA driver shows itself here, in a container too.
NVIDIA := $(wildcard /proc/driver/nvidia/version /dev/nvidiactl)
EXTRAS := dev$(if $(NVIDIA),$(comma)cuda)
DEVICE_WORDS := $(if $(NVIDIA),an NVIDIA driver is here: JAX with CUDA,no NVIDIA driver is here: JAX on the CPU)

# Every variable given to make on its command line is the flag of its lower-case name;
# a value of several words is that flag's several values.
GIVEN := $(sort $(foreach v,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(v)))),$(v))))
GIVEN := $(filter-out PYTHON GIVEN MAKEFLAGS MAKEOVERRIDES -*-command-variables-*-,$(GIVEN))
quote = '$(subst ','\'',$(1))'
# A path is one value, spaces and all.
PATHS := OUT CONFIG RESUME FILE JSON AGAINST
values = $(if $(filter $(1),$(PATHS)),$(call quote,$($(1))),$(foreach w,$($(1)),$(call quote,$(w))))
flags = $(foreach v,$(1),--$(shell echo $(v) | tr 'A-Z_' 'a-z-') $(call values,$(v)))
FLAGS = $(call flags,$(GIVEN))

PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup train sweep resume estimators figure2 figure3 table2 controls lifetimes mechanism \
  adaptation sgmrl distributions context reproduce verdict \
  turbulence family family-point navigation maml2 crossing oracles pictures \
  test test-slow test-gpu test-browser test-wandb test-optuna test-parquet test-box2d lint conformance \
  conformance-closed-loop carry-over bench bench-inner bench-sweep bench-scaling bench-lander gpu-report gpu-python

help:  ## this list
	@echo 'make TARGET [VARIABLE=value ...]'
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
	@echo
	@echo 'Variables of make train are the flags of dmaml-jax train in upper case:'
	@echo '  make train ENV=cartpole ALGO=directed SEEDS=5 EPOCHS=300'
	@echo 'PYTHON=python3.12 chooses the Python that setup uses.'

setup: $(READY)  ## create .venv from the lock, with .venv/bin/dmaml-jax

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo 'error: $(PYTHON) is not Python 3.11 to 3.13: give make PYTHON=python3.12 or the like.' >&2; exit 2; }
	@echo 'creating $(VENV): $(DEVICE_WORDS)'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock setuptools
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock \
	  --no-build-isolation -e '.[$(EXTRAS)]'
	@touch $@

train: $(READY)  ## train and write a run folder: ENV=cartpole ALGO=directed SEEDS=5 ...
	@$(BIN)/dmaml-jax train $(FLAGS)

sweep: $(READY)  ## many settings and seeds: ALGO="directed maml" SEEDS=16 GRID="inner_lr=0.001,0.01"
	@$(BIN)/dmaml-jax sweep $(FLAGS)

resume: $(READY)  ## go on with a run that was stopped: RUN=runs/mine EPOCHS=600 ...
	@$(if $(RUN),,echo 'error: say which run goes on: make resume RUN=runs/mine' >&2; exit 2)
	@$(BIN)/dmaml-jax train --resume $(call quote,$(RUN)) $(call flags,$(filter-out RUN,$(GIVEN)))

estimators: $(READY)  ## bias and variance of every gradient estimator: SEED=1 INNER_LR=0.7 ...
	@$(BIN)/dmaml-jax estimators $(FLAGS)

test: $(READY)  ## all tests but the slow ones and those that need a GPU
	$(PYTEST) -n 2 --dist loadfile

test-slow: $(READY)  ## the tests that train to the end, and dear cases of others: TESTS="tests/exact ..."
	$(PYTEST) -m slow -n 2 $(TESTS)

test-browser: $(READY)  ## the report in a real browser; says so where there is none
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then \
	  $(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock \
	    --no-build-isolation -e '.[browser]' && $(PYTEST) -m browser; \
	else \
	  echo 'no chromium and chromedriver here (apt-get install chromium chromium-driver): nothing was tested'; \
	fi

# PYTHON_GPU=python3 takes that interpreter with its own JAX, adds the wheels of
# WHEELS=folder and asks no network: for machines with a GPU that reach none.
GPU_SITE := build/gpu-site
GPU_PATH := $(if $(PYTHON_GPU),$(CURDIR)/$(GPU_SITE):)$(CURDIR)/tests
# -P: else the folders of this name here would stand before the package and its envs.
GPU_PYTHON := PYTHONPATH=$(call quote,$(GPU_PATH)) $(or $(PYTHON_GPU),$(BIN)/python) -P

gpu-python: $(if $(PYTHON_GPU),,$(READY))
	@$(if $(PYTHON_GPU),$(PYTHON_GPU) tests/benchmarks/gpu/layout.py $(GPU_SITE) $(WHEELS))

test-gpu: gpu-python  ## the tests that need a GPU; says so where there is none
	@if $(GPU_PYTHON) -c 'import jax; jax.devices("gpu")' 2>/dev/null; then \
	  $(GPU_PYTHON) -m pytest -m gpu $$(grep -rl --include='test_*.py' pytest.mark.gpu tests); \
	else \
	  echo 'no GPU here that JAX can use: nothing was tested'; \
	fi

gpu-report: gpu-python  ## what a GPU does, into docs/gpu.md: BUDGET=480 PROFILE=1 OUT=folder
	@$(GPU_PYTHON) -m benchmarks.gpu $(if $(SMALL),--small) $(if $(PROFILE),--profile) \
	  $(if $(TESTS),--tests $(TESTS)) $(if $(BUDGET),--budget $(BUDGET)) \
	  $(if $(OUT),--out $(call quote,$(OUT))) $(if $(COMMIT),--commit $(COMMIT)) \
	  $(if $(LANDER_SEEDS),--lander-seeds $(LANDER_SEEDS))

test-wandb: $(READY)  ## the tests that need the package wandb, which it installs
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock \
	  --no-build-isolation -e '.[$(EXTRAS),wandb]'
	$(PYTEST) -m wandb

test-optuna: $(READY)  ## the example of a search by Optuna, which it installs
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock \
	  --no-build-isolation -e '.[$(EXTRAS),optuna]'
	$(PYTEST) -m optuna

test-parquet: $(READY)  ## a sweep's table as Parquet, by pyarrow, which it installs
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock \
	  --no-build-isolation -e '.[$(EXTRAS),parquet]'
	$(PYTEST) -m parquet

test-box2d: $(BOX2D_READY)  ## the tests that play in Gymnasium's own LunarLander
	@$(BOX2D_VENV)/bin/python -m pip install -q --disable-pip-version-check -c requirements.lock \
	  --no-build-isolation -e '.[box2d,dev]'
	$(BOX2D_VENV)/bin/python -m pytest -m box2d

lint: $(READY)  ## ruff and basedpyright
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@# Type checkers do not see dmaml_jax.envs in an editable install.
	@rm -rf build && $(BIN)/python -m pip install -q --disable-pip-version-check \
	  --no-deps --no-build-isolation --target build/installed .
	$(BIN)/basedpyright

# The studies: QUICK=1 is a toy version, BILL=1 says what there is to train and stops,
# PLOT_ONLY=1 draws figures and pages from the tables, ONLY=words trains the blocks, or
# the runs PANEL/LABEL, with these words, FIRST=10 ten seeds of each run. They may be
# stopped at any time, and go on when they are called again.
STUDY_FLAGS = $(if $(QUICK),--quick) $(if $(BILL),--bill) $(if $(PLOT_ONLY),--plot-only) \
  $(if $(GATHER),--gather) $(if $(AGAIN),--again) $(if $(ONLY),--only $(call quote,$(ONLY))) \
  $(if $(FIRST),--first $(FIRST))

figure2: $(READY)  ## the paper's Figure 2 with seeds: QUICK=1 BILL=1 PLOT_ONLY=1 ONLY=words
	@$(BIN)/python -m experiments figure2 $(STUDY_FLAGS)

figure3: $(READY)  ## the paper's Figure 3: turbulence as numbers; QUICK=1 ... as above
	@$(BIN)/python -m experiments figure3 $(STUDY_FLAGS)

# PyTorch is measured beside it where `make bench` has made its environment.
TABLE2_PYTHON = $(if $(wildcard $(BENCH_READY)),$(BENCH_VENV)/bin,$(BIN))/python

table2: $(READY)  ## the paper's Table II on a quiet machine; QUICK=1 ... as above
	@$(TABLE2_PYTHON) -m experiments table2 $(STUDY_FLAGS)

controls: $(READY)  ## is it the medium task? Directed-MAML's controls; QUICK=1 ... as above
	@$(BIN)/python -m experiments controls $(STUDY_FLAGS)

mechanism: $(READY)  ## which way the medium task's gradient points; QUICK=1 ... as above
	@$(BIN)/python -m experiments mechanism $(STUDY_FLAGS)

adaptation: $(READY)  ## does adaptation matter, and on which tasks? QUICK=1 ... as above
	@$(BIN)/python -m experiments adaptation $(STUDY_FLAGS)

sgmrl: $(READY)  ## SG-MRL against MAML where MAML's bias should matter; QUICK=1 ... as above
	@$(BIN)/python -m experiments sgmrl $(STUDY_FLAGS)

distributions: $(READY)  ## other tasks than uniform ones: when does the mean mislead? QUICK=1 ...
	@$(BIN)/python -m experiments distributions $(STUDY_FLAGS)

context: $(READY)  ## memory, belief or gradient: who wins where, at equal steps? QUICK=1 ...
	@$(BIN)/python -m experiments context $(STUDY_FLAGS)

lifetimes: $(READY)  ## whole lives in bandits and MDPs beside the optimum; QUICK=1 ... as above
	@$(BIN)/python -m experiments lifetimes $(STUDY_FLAGS)

reproduce: $(READY)  ## all ten of these; QUICK=1 takes minutes, without it days
	@$(BIN)/python -m experiments all $(STUDY_FLAGS)

verdict: $(READY)  ## what holds of the paper, from the studies' tables into docs/reproduction.md
	@$(BIN)/python -m experiments.reproduction

turbulence: $(READY)  ## steadiness after convergence, remedies compared, write docs/turbulence.md
	@$(BIN)/python -m experiments.turbulence

family: $(READY)  ## every learner with both methods on CartPole, write docs/family.md
	@$(BIN)/python -m experiments.family

family-point: $(READY)  ## every learner on point navigation, write docs/family-point.md; goes on if stopped
	@$(BIN)/python -m experiments.family_point

navigation: $(READY)  ## MAML on point navigation, write docs/navigation.md and .png
	@$(BIN)/python -m experiments.navigation

maml2: $(READY)  ## MAML² on two large categories and an isolated one, write docs/maml2.md
	@$(BIN)/python -m experiments.maml2

crossing: $(READY)  ## regret at the crossing before and after adaptation, write docs/crossing.md
	@$(BIN)/python -m experiments.crossing

oracles: $(READY)  ## optima and simple rules in bandits, MDPs and the gridworld, write docs/oracles.md
	@$(BIN)/python -m experiments.oracles

pictures: $(READY)  ## a landing in one picture, write docs/lunar-lander-episode.png
	@$(BIN)/python -m experiments.lander_picture

conformance: $(READY)  ## replay Gymnasium's recorded landers: FILE=recording.npz SOLVER=fast JSON=result.json
	@$(BIN)/python tests/conformance/replay.py $(FLAGS)

conformance-closed-loop: $(BOX2D_READY)  ## fly beside Gymnasium with equal seeds: EPISODES=250 JSON=result.json
	@$(BOX2D_VENV)/bin/python tests/conformance/closed_loop.py $(FLAGS)

carry-over: $(BOX2D_READY)  ## play policies trained with the fast lander in exact and Gymnasium
	@$(BOX2D_VENV)/bin/python tests/benchmarks/carry_over.py $(FLAGS)

$(BOX2D_READY): pyproject.toml requirements.lock
	@echo 'creating $(BOX2D_VENV), an environment of its own with Box2D'
	@$(PYTHON) -m venv --clear $(BOX2D_VENV)
	@$(BOX2D_VENV)/bin/python -m pip install -q --disable-pip-version-check -c requirements.lock setuptools
	@$(BOX2D_VENV)/bin/python -m pip install -q --disable-pip-version-check -c requirements.lock \
	  --no-build-isolation -e '.[box2d]'
	@touch $@

bench: $(BENCH_READY)  ## time epochs against PyTorch and Gymnasium, write docs/benchmarks.md
	@$(BENCH_VENV)/bin/python tests/benchmarks/bench.py

bench-inner: $(READY)  ## what N inner steps cost, write docs/inner-loop.md: AGAINST=folder
	@$(BIN)/python tests/benchmarks/inner_steps.py $(call flags,$(filter AGAINST,$(GIVEN)))

bench-sweep: $(READY)  ## what a sweep costs beside single runs, write docs/sweep-speed.md
	@$(BIN)/python tests/benchmarks/sweeps.py

bench-scaling: $(READY)  ## how an epoch grows with its sizes, write docs/scaling.md and .png
	@$(BIN)/python tests/benchmarks/scaling.py

bench-lander: $(BENCH_READY)  ## time LunarLander's steps and epochs, write into docs/benchmarks.md
	@$(BENCH_VENV)/bin/python tests/benchmarks/lander.py

bench-memory: $(BENCH_READY)  ## RL²'s epoch beside PyTorch's, write docs/memory-speed.md
	@$(BENCH_VENV)/bin/python tests/benchmarks/memory.py

$(BENCH_READY): pyproject.toml requirements.lock
	@echo 'creating $(BENCH_VENV), an environment of its own: PyTorch'"'"'s Linux wheel from the'
	@echo 'registry brings gigabytes of CUDA libraries, although it runs on the CPU here'
	@$(PYTHON) -m venv --clear $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python -m pip install -q --disable-pip-version-check -c requirements.lock setuptools
	@$(BENCH_VENV)/bin/python -m pip install -q --disable-pip-version-check -c requirements.lock \
	  --no-build-isolation -e '.[bench]'
	@touch $@
