"""Rewards that raise, return what is no list of numbers, or are not there; in training and in evaluation."""

from __future__ import annotations

from benchmarks.attack.case import Case
from benchmarks.attack.inputs.common import good_rows, json_lines, own_train

TRAIN, EVAL, ABSENT = "rewards in training", "rewards in evaluation", "rewards that are not there"
_MODULE = "own_reward"
_ROWS = json_lines(good_rows())
_EVAL = ("eval", "--tasks", "rows.jsonl", "--n", "2", "--limit", "4", "--max-tokens", "7", "--output-dir", "run")

# A body of the function, what has to happen, and words of the message.
_BODIES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "raises ValueError": ("raise ValueError('no such column')", "refuse", ("no such column",)),
    "raises TypeError": ("raise TypeError('odd')", "refuse", ("odd",)),
    "raises KeyError": ("return {}['gold']", "refuse", ("gold",)),
    "raises EOFError": ("raise EOFError('end')", "refuse", ("end",)),
    "raises StopIteration": ("raise StopIteration('stop')", "refuse", ("stop",)),
    "raises KeyboardInterrupt": ("raise KeyboardInterrupt", "refuse", ()),
    "raises SystemExit(0)": ("raise SystemExit(0)", "refuse", ("SystemExit", "exit", _MODULE)),
    "raises SystemExit with a text": ("raise SystemExit('bye')", "refuse", ("bye",)),
    "raises an error without a text": ("raise RuntimeError", "refuse", ("RuntimeError", _MODULE)),
    "raises an error of many lines": ("raise ValueError('first\\n' * 50)", "refuse", ("first",)),
    "raises MemoryError": ("raise MemoryError", "refuse", ("MemoryError", "memory", _MODULE)),
    "raises RecursionError": ("return own(completions, **columns)", "refuse", ("recursion", _MODULE)),
    "returns None": ("return None", "refuse", (_MODULE, "reward")),
    "returns one number": ("return 1.0", "refuse", (_MODULE, "reward")),
    "returns too few": ("return [1.0] * (len(completions) - 1)", "refuse", (_MODULE, "reward")),
    "returns too many": ("return [1.0] * (len(completions) + 1)", "refuse", (_MODULE, "reward")),
    "returns no value": ("return []", "refuse", (_MODULE, "reward")),
    "returns texts": ("return ['good'] * len(completions)", "refuse", (_MODULE, "reward")),
    "returns lists": ("return [[1.0, 2.0]] * len(completions)", "refuse", (_MODULE, "reward")),
    "returns mappings": ("return [{'score': 1.0}] * len(completions)", "refuse", (_MODULE, "reward")),
    "returns complex numbers": ("return [1j] * len(completions)", "refuse", (_MODULE, "reward")),
    "returns a mapping": ("return {text: 1.0 for text in completions}", "refuse", (_MODULE, "reward")),
    "returns a text": ("return 'x' * len(completions)", "refuse", (_MODULE, "reward")),
    "returns infinity": ("return [float('inf')] * len(completions)", "refuse", (_MODULE, "reward")),
    "returns minus infinity once": ("return [float('-inf'), *[0.0] * (len(completions) - 1)]", "refuse", (_MODULE,)),
    "returns a huge integer": ("return [10 ** 400] * len(completions)", "refuse", (_MODULE, "reward")),
    "returns None for all": ("return [None] * len(completions)", "work", ()),
    "returns None for some": ("return [None, *[1.0] * (len(completions) - 1)]", "work", ()),
    "returns NaN for some": ("return [float('nan'), *[1.0] * (len(completions) - 1)]", "either", ()),
    "returns booleans": ("return [True] * len(completions)", "work", ()),
    "returns integers": ("return [1] * len(completions)", "work", ()),
    "returns a tensor": ("import torch; return torch.ones(len(completions))", "either", ()),
    "returns an array": ("import numpy; return numpy.ones(len(completions))", "either", ()),
    "returns a generator": ("return (1.0 for _ in completions)", "either", ()),
    "prints what no terminal should see": ("print('x'); return [0.0] * len(completions)", "work", ()),
    "asks for a column that is not there": ("", "refuse", ("gold",)),
}
_ABSENT: tuple[tuple[str, str, str], ...] = (
    ("no_such_module.reward", "", "no_such_module"),
    ("own_reward.nothing", "x = 1\n", "nothing"),
    ("own_reward.x", "x = 1\n", "own_reward.x"),
    ("own_reward", "x = 1\n", "own_reward"),
    ("", "", "reward"),
    (".", "", "reward"),
    ("..own", "", "reward"),
    ("own_reward.", "x = 1\n", "own_reward"),
    ("own reward.own", "", "own reward"),
    ("own_reward.own", "raise RuntimeError('broken module')\n", "broken module"),
    ("own_reward.own", "import no_such_package\n", "no_such_package"),
    ("own_reward.own", "def own(:\n", "own_reward"),
    ("own_reward.own", "raise SystemExit(0)\n", "own_reward"),
    ("own_reward.own", "def own():\n    return []\n", "own_reward"),
    ("own_reward.own", "def own(completions):\n    return [0.0] * len(completions)\n", "own_reward"),
    ("own_reward.Own", "class Own:\n    pass\n", "own_reward"),
    ("os.system", "", "os.system"),
    ("os.path", "", "os.path"),
)  # fmt: skip


def cases() -> list[Case]:
    """Every body in training and in evaluation, and what `--reward` may name by mistake."""
    found = []
    for name, (body, must, says) in _BODIES.items():
        files = {f"{_MODULE}.py": _function(body), "rows.jsonl": _ROWS}
        train = own_train("--dataset=rows.jsonl", f"--reward={_MODULE}.own")
        evaluate = (*_EVAL, "--reward", f"{_MODULE}.own")
        for kind, argv in ((TRAIN, train), (EVAL, evaluate)):
            found.append(Case(kind, f"{kind}: one that {name}", argv, files, must, says, own_code=f"{_MODULE}.py"))  # pyright: ignore
    for dotted, code, says in _ABSENT:
        argv = own_train("--dataset=rows.jsonl", f"--reward={dotted}")
        files = {"rows.jsonl": _ROWS, **({f"{_MODULE}.py": code} if code else {})}
        found.append(
            Case(ABSENT, f"--reward={dotted!r}, {code!r}", argv, files, says=(says,), own_code=f"{_MODULE}.py")
        )
    return found


def _function(body: str) -> str:
    if not body:
        return "def own(completions, gold, **columns):\n    return [0.0] * len(completions)\n"
    return f"def own(completions, **columns):\n    {body}\n"
