"""Recipes that are not what they seem: YAML's traps, wrong types at any depth, bombs, and files that are no recipes."""

from __future__ import annotations

from typing import Literal

from benchmarks.attack.case import Case
from benchmarks.attack.inputs.common import NESTED, config

TRAP, DEPTH, BOMB, FILE = "YAML: traps", "YAML: wrong types and unknown keys", "YAML: bombs", "YAML: no such recipe"
_RUN = ("train", "--config", "a.yaml", "--output_dir", "run")
_DRY = (*_RUN, "--dry-run")

# Lines, what has to happen, words of the message.
_TRAPS: tuple[tuple[str, Literal["refuse", "work", "either"], str], ...] = (
    ("seed: 1\nseed: 2\n", "refuse", "seed"),
    ("method: grpo\n", "refuse", "method"),
    ("seed: yes\n", "refuse", "seed"),
    ("seed: on\n", "refuse", "seed"),
    ("seed: 1:30\n", "refuse", "seed"),
    ("seed: 2024-01-01\n", "refuse", "seed"),
    ("seed: 1.5\n", "refuse", "seed"),
    ("seed: .nan\n", "refuse", "seed"),
    ("seed: .inf\n", "refuse", "seed"),
    ("seed: ''\n", "refuse", "seed"),
    ("seed: 0x1z\n", "refuse", "seed"),
    ("seed: !!python/object/apply:os.system ['echo x']\n", "refuse", "a.yaml"),
    ("seed: !!binary aGVsbG8=\n", "refuse", "a.yaml"),
    ("seed: !!set {1, 2}\n", "refuse", "a.yaml"),
    ("seed: *unknown\n", "refuse", "a.yaml"),
    ("seed: 1\n---\nseed: 2\n", "refuse", "a.yaml"),
    ("seed:\t1\n\tx: 2\n", "refuse", "a.yaml"),
    ("? [a, b]\n: 1\n", "refuse", "a.yaml"),
    ("? {a: b}\n: 1\n", "refuse", "a.yaml"),
    ("1: 2\n", "refuse", "1"),
    ("true: 1\n", "refuse", "True"),
    ("null: 1\n", "refuse", "null"),
    ("'': 1\n", "refuse", "''"),
    ("learning_rate: 1e-4\n", "work", ""),
    ("save_strategy: no\n", "work", ""),
    ("save_strategy: off\n", "either", ""),
    ("lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr: 1e-7}\n", "work", ""),
    ("reward_weights: 0.5\n", "either", ""),
    ("reward_weights: [0.5]\n", "work", ""),
    ("reward_weights: [yes]\n", "refuse", "reward_weights"),
    ("env: {OMP_NUM_THREADS: 1}\n", "either", ""),
)
_DEPTH = (
    ("seed: [1]\n", "seed"),
    ("seed: {a: 1}\n", "seed"),
    ("seed: [[1]]\n", "seed"),
    ("learning_rate: [1e-4]\n", "learning_rate"),
    ("learning_rate: {a: 1}\n", "learning_rate"),
    ("learning_rate: fast\n", "learning_rate"),
    ("method: [band-kl]\n", "method"),
    ("method: {band-kl: 1}\n", "method"),
    ("method: 3\n", "method"),
    ("method_kwargs: 3\n", "method_kwargs"),
    ("method_kwargs: [1, 2]\n", "method_kwargs"),
    ("method_kwargs: max_ratio\n", "method_kwargs"),
    ("method_kwargs: {max_ratio: many}\n", "max_ratio"),
    ("method_kwargs: {max_ratio: [10]}\n", "max_ratio"),
    ("method_kwargs: {max_ratio: {a: 1}}\n", "max_ratio"),
    ("method_kwargs: {max_ratoi: 10}\n", "max_ratoi"),
    ("method_kwargs: {1: 2}\n", "method_kwargs"),
    ("band_delta: [0.05]\n", "band_delta"),
    ("band_delta: {kl: 0.05}\n", "band_delta"),
    ("band_delta: small\n", "band_delta"),
    ("model: [countdown]\n", "model"),
    ("model: {name: countdown}\n", "model"),
    ("model: 3\n", "model"),
    ("dataset: 3.5\n", "dataset"),
    ("dataset: {countdown: train}\n", "dataset"),
    ("reward: 3\n", "reward"),
    ("reward: {a: b}\n", "reward"),
    ("reward: [[a.b]]\n", "reward"),
    ("reward: [1]\n", "reward"),
    ("reward: []\n", "reward"),
    ("temperature: warm\n", "temperature"),
    ("lr_scheduler_kwargs: [1]\n", "lr_scheduler_kwargs"),
    ("lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr: tiny}\n", "min_lr"),
    ("lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_rl: 0.1}\n", "min_rl"),
    ("model_init_kwargs: [1]\n", "model_init_kwargs"),
    ("model_init_kwargs: {no_such_argument: 1}\n", "no_such_argument"),
    ("generation_kwargs: 3\n", "generation_kwargs"),
    ("generation_kwargs: {no_such_option: 1}\n", "no_such_option"),
    ("use_cpu: maybe\n", "use_cpu"),
    ("use_cpu: [true]\n", "use_cpu"),
    ("learning_rat: 1e-4\n", "learning_rat"),
    ("trainer: {learning_rate: 1e-4}\n", "trainer"),
    ("env: [A=1]\n", "env"),
    ("env: A=1\n", "env"),
    ("env: {A: {B: 1}}\n", "env"),
    ("env: {1: 2}\n", "env"),
    ("env: {'A=B': 1}\n", "env"),
    ('env: {A: "x\\0y"}\n', "env"),
)
_BOMBS = (
    ("nine anchors of nine in reward", f"reward: {NESTED}\n", "reward"),
    ("nine anchors of nine in model", f"model: {NESTED}\n", "model"),
    ("nine anchors of nine in method_kwargs", f"method_kwargs: {{max_ratio: {NESTED}}}\n", "max_ratio"),
    ("nine anchors of nine in env", f"env: {{A: {NESTED}}}\n", "env"),
    ("nine anchors of nine under an unknown key", f"rewrad: {NESTED}\n", "rewrad"),
    ("a list that holds itself", "reward: &r [*r]\n", "reward"),
    ("a mapping that holds itself", "method_kwargs: &m {max_ratio: *m}\n", "max_ratio"),
    ("an unknown mapping that holds itself", "x: &x {y: *x}\n", "x"),
    ("20,000 levels of lists", "reward: " + "[" * 20_000 + "]" * 20_000 + "\n", "a.yaml"),
    ("20,000 levels of mappings", "method_kwargs: " + "{a: " * 20_000 + "1" + "}" * 20_000 + "\n", "a.yaml"),
    ("5,000 dashes", "- " * 5_000 + "x\n", "a.yaml"),
    ("a number of 100,000 digits", "seed: " + "9" * 100_000 + "\n", "a.yaml"),
    ("a number of 5,000 digits as a float", "learning_rate: 1" + "0" * 5_000 + "\n", "a.yaml"),
    ("an exponent of 400", "learning_rate: 1.0e+400\n", "learning_rate"),
    ("a name of a million letters", "a" * 1_000_000 + ": 1\n", "a.yaml"),
    ("a value of a million letters", "method: " + "a" * 1_000_000 + "\n", "method"),
    ("100,000 unknown options", "".join(f"option_{i}: 1\n" for i in range(100_000)), "a.yaml"),
)  # fmt: skip
_FILES: tuple[tuple[str, dict[str, str | bytes], str], ...] = (
    ("an empty file", {"a.yaml": ""}, ""),
    ("a file of comments", {"a.yaml": "# nothing\n"}, ""),
    ("a list", {"a.yaml": "- method: band-kl\n"}, ""),
    ("a word", {"a.yaml": "countdown\n"}, ""),
    ("UTF-16", {"a.yaml": "method: band-kl\nmethod2: x\n".encode("utf-16")}, ""),
    ("Latin-1", {"a.yaml": "name: größer\n".encode("latin-1")}, ""),
    ("bytes", {"a.yaml": bytes(range(256))}, ""),
    ("NUL bytes", {"a.yaml": b"seed: 1\0\n"}, ""),
    ("an open bracket", {"a.yaml": "reward: [a\n"}, ""),
    ("TOML", {"a.yaml": "[train]\nseed = 1\n"}, ""),
    ("a folder", {}, "import os; os.mkdir('a.yaml')"),
    ("nothing there", {}, ""),
    ("a pipe that nobody writes to", {}, "import os; os.mkfifo('a.yaml')"),
    ("a link to itself", {}, "import os; os.symlink('a.yaml', 'a.yaml')"),
    ("a device without end", {}, "import os; os.symlink('/dev/zero', 'a.yaml')"),
    ("50 MB of zeros", {}, "open('a.yaml', 'wb').write(bytes(50_000_000))"),
)


def cases() -> list[Case]:
    """Recipes; the traps are trained where they are accepted, the rest is."""
    found = [_case(TRAP, f"YAML {line!r}", line, must, says) for line, must, says in _TRAPS]
    found += [_case(DEPTH, f"YAML {line!r}", line, "refuse", says) for line, says in _DEPTH]
    found += [Case(DEPTH, "YAML 'seed: [1]', dry run", _DRY, {"a.yaml": config("seed: [1]\n")}, says=("seed",))]
    found += [Case(DEPTH, "YAML 'seed: {a: 1}', dry run", _DRY, {"a.yaml": config("seed: {a: 1}\n")}, says=("seed",))]
    found += [_case(BOMB, f"YAML: {name}", text, "refuse", says, "a.yaml") for name, text, says in _BOMBS]
    return found + [Case(FILE, f"recipe: {name}", _RUN, files, says=("a.yaml",), setup=setup)
                    for name, files, setup in _FILES]  # fmt: skip


def _case(kind: str, name: str, lines: str, must: Literal["refuse", "work", "either"], *says: str) -> Case:
    replaced = [line.partition(":")[0] for line in lines.splitlines()]
    kept = [] if lines.startswith("method: grpo") else replaced
    return Case(kind, name, _RUN, {"a.yaml": config(lines, kept)}, must, tuple(filter(None, says)))
