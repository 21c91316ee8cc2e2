# `make train` sets everything up and runs the main job; `make test` sets up and passes the tests.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: setup train test test-slow lint docs compare accuracy grading attack bench gpu gpu-wheels alignment evidence evidence-all evidence-breadth evidence-smoke rehearsal warm-start test-versions test-trl-versions test-engines test-main-ppo clean

setup: $(VENV)/.ready

# One file of pins per Python, because the newest TRL needs 3.11.
$(VENV)/.ready: pyproject.toml $(wildcard constraints/*.txt)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "bandpo needs Python 3.10 or newer, this is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints/$$($(BIN)/python -c 'import sys; print("py310" if sys.version_info < (3, 11) else "py311")').txt \
		-e '.[train,math,view,dev]'
	touch $@

train: setup
	$(BIN)/bandpo train

test: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: setup
	$(BIN)/python docs/generate.py

# The committed comparison: every arm and the ten seeds were fixed before it was run.
compare: setup
	$(BIN)/bandpo compare --out benchmarks/results/countdown --seeds 100-109 \
		--methods grpo,clip-higher,clip-higher:eps_high=0.6,band-kl,band-mirror \
		--model countdown --learning-rate 2e-4

# One GPU, at most six minutes; the tables go into docs/gpu.md too.
gpu: setup
	$(BIN)/python -m benchmarks.gpu --page

# For a GPU machine without a network: what it lacks, as wheels for its Python; see docs/gpu.md.
GPU_PYTHON ?= 3.12
gpu-wheels:
	$(PYTHON) -m pip download --quiet --no-deps --only-binary=:all: --python-version $(GPU_PYTHON) --implementation cp \
		--platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d build/gpu-wheels -r benchmarks/gpu/wheels.txt
	$(PYTHON) -m pip wheel --quiet --no-deps -w build/gpu-wheels antlr4-python3-runtime==4.9.3

accuracy: setup
	$(BIN)/python benchmarks/accuracy.py

# The math grader: labelled pairs, hostile answers, speed; about six minutes. The tables go into docs/grading.md too.
grading: setup
	$(BIN)/python benchmarks/grading.py --page

# Planted faults of old log-probs, and how often their cause is named; about ten minutes. The tables go into docs/alignment.md too.
alignment: setup
	$(BIN)/python -m benchmarks.alignment --page

# Kills, damaged files, bad input: at most twenty minutes on two cores. The table goes into docs/reliability.md too.
attack: setup
	$(BIN)/python -m benchmarks.attack --page

# Speed: the operator and the loss against their peers, then a training step against stock TRL.
bench: setup
	$(BIN)/bandpo bench --sizes 1e3,3.3e4,1e6,1e7,1e8 --budget 0.3 --out benchmarks/results
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/logits_memory.py

# The registered study of docs/evidence.md at learning rate 1e-4, about an hour on two cores; then everything from nothing,
# tuning included, about four hours; then the same path on short runs, minutes.
evidence: setup
	$(BIN)/python -m benchmarks.science.evidence --rates 1e-4

evidence-all: setup
	$(BIN)/python -m benchmarks.science.evidence --tune

evidence-smoke: setup
	$(BIN)/python -m benchmarks.science.evidence --smoke

# Other tasks and a larger model, as registered in benchmarks/science/breadth.md; 75 minutes on two cores.
evidence-breadth: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[science]'
	$(BIN)/python -m benchmarks.science.breadth

rehearsal: setup
	$(BIN)/python benchmarks/rehearsal.py

warm-start: setup
	$(BIN)/python -m bandpo.tasks.countdown_warm_start --start countdown
	$(BIN)/python -m bandpo.tasks.countdown_warm_start --start countdown-2
	$(BIN)/python -m bandpo.tasks.countdown_warm_start --start countdown-3

# Releases of Python, torch, transformers and TRL, up to 10 GB of disk; some of them: make test-versions ROWS="oldest trl"
test-versions: setup
	$(BIN)/python tests/contract/versions.py $(ROWS)

test-trl-versions: setup
	$(BIN)/python tests/contract/versions.py trl

# Some of them: make test-engines ENGINES="verl skyrl"
test-engines: setup
	$(BIN)/python tests/contract/engines.py $(ENGINES)

# verl's own main_ppo on a CPU, five runs of it: about ten minutes on two idle cores.
test-main-ppo: setup
	$(BIN)/python tests/contract/engines.py verl-main-ppo

clean:
	rm -rf $(VENV) build dist
