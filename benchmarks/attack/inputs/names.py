"""Names with brackets, stars, control characters and odd letters; streams that cannot print them."""

from __future__ import annotations

from benchmarks.attack.case import Case
from benchmarks.attack.inputs.common import ZERO, config, good_rows, json_lines, own_train, small_train

TERMINAL, MARKUP, GLOB, ENCODING = "names: control characters", "names: markup", "names: patterns", "streams: encodings"
HOSTILE = {
    "a colour": "\x1b[31mred\x1b[0m",
    "a title": "x\x1b]0;title\x07",
    "letters from right to left": "a\u202egnp.exe",
    "a bell": "x\x07",
}
_BRACKETS = ("[/x]", "[bold]x", "[red]", "x[/]", "[link=file:///]x", "[[x]]", "x]y[z", "{x}", "%s%n")
_COMMANDS = (
    ("methods", "NAME"), ("bounds", "--methods", "NAME"), ("match", "--divergence", "NAME"), ("doctor", "NAME"),
    ("match", "--like", "NAME", "--batch", "b.npz"), ("doctor", "trl", "method", "NAME"), ("recipe", "NAME"),
    ("eval", "--tasks", "NAME"), ("eval", "--model", "NAME"), ("eval", "--compare", "NAME", "NAME"),
    ("compare", "--methods", "NAME"), ("compare", "--seeds", "NAME"), ("data", "prepare", "NAME", "--out", "out"),
    ("doctor", "trl", "--method", "NAME"), ("atlas", "--out", "none/NAME"),
)  # fmt: skip
_OPTIONS = ("--method", "--model", "--dataset", "--reward", "--seed", "--output_dir", "--config", "--no_such")


def cases() -> list[Case]:
    """Each name as the value of options, of files, and as words in files."""
    return [*_terminal(), *_markup(), *_patterns(), *_encodings()]


def _terminal() -> list[Case]:
    found = []
    for name, text in HOSTILE.items():
        for option in _OPTIONS:
            found.append(Case(TERMINAL, f"{option}: {name}", small_train(f"{option}={text}"), must="either"))
        quoted = text.replace("\x1b", r"\e").replace("\x07", r"\a").replace("\u202e", r"\u202e")
        recipe = {"a.yaml": config(f'"{quoted}": 1\n')}
        found.append(Case(TERMINAL, f"a key of a recipe: {name}", ("train", "--config", "a.yaml"), recipe))
        files = {"rows.jsonl": json_lines([{text: "x"}] * 4), "own.py": ZERO}
        argv = own_train("--dataset=rows.jsonl", "--reward=own.zero")
        found.append(Case(TERMINAL, f"a column: {name}", argv, files))
    for name in ("a colour", "letters from right to left"):
        for words in _COMMANDS:
            argv = tuple(HOSTILE[name] if word == "NAME" else word for word in words)
            found.append(Case(TERMINAL, f"{' '.join(words)}: {name}", argv, must="either"))
    return found


def _markup() -> list[Case]:
    found = [Case(MARKUP, f"--output_dir {name}", small_train(f"--output_dir={name}"), must="work")
             for name in _BRACKETS if not name.startswith("[/")]  # fmt: skip
    found.append(Case(MARKUP, "--output_dir run[/x]", small_train("--output_dir=run[/x]"), must="work"))
    for name in _BRACKETS:
        file = f"{name.replace('/', '')}.jsonl"
        argv = own_train(f"--dataset={file}", "--reward=own.zero")
        files = {file: json_lines(good_rows()), "own.py": ZERO}
        found.append(Case(MARKUP, f"--dataset {file}", argv, files, must="work"))
        for words in (("methods", name), ("doctor", "trl", f"method={name}"), ("recipe", name),
    ("eval", "--model", name),
                      ("data", "prepare", name, "--out", "out")):  # fmt: skip
            found.append(Case(MARKUP, f"{' '.join(words[:2])} {name}", words))
    evaluate = ("eval", "--n", "2", "--limit", "2", "--k", "1", "--output-dir")
    found += [
        Case(MARKUP, f"eval --output-dir {name}", (*evaluate, name), must="work") for name in ("[bold]x", "x[/x]")
    ]
    drawn = ("bounds", "--draw", "[bold]x.png")
    return [*found, Case(MARKUP, "bounds --draw", drawn, must="work", keeps=())]


def _patterns() -> list[Case]:
    good, bad = json_lines(good_rows()), json_lines([{"no": "prompt"}] * 64)
    found = []
    for asked, beside in (("d[1].jsonl", "d1.jsonl"), ("d?.jsonl", "dx.jsonl"), ("d*.jsonl", "d2.jsonl"),
                          ("d{1,2}.jsonl", "d1.jsonl"), ("d[!a].jsonl", "db.jsonl")):  # fmt: skip
        argv = own_train(f"--dataset={asked}", "--reward=own.zero")
        if "," not in asked:
            found.append(
                Case(GLOB, f"{asked} beside {beside}", argv, {asked: good, beside: bad, "own.py": ZERO}, "work")
            )
        found.append(Case(GLOB, f"{asked} that is not there, beside {beside}", argv, {beside: good, "own.py": ZERO},
                          says=(asked, "d{1")))  # fmt: skip
        words = (
            "eval",
            "--tasks",
            asked,
            "--reward",
            "own.zero",
            "--n",
            "2",
            "--max-tokens",
            "7",
            "--output-dir",
            "run",
        )
        if "," not in asked:
            found.append(Case(GLOB, f"eval --tasks {asked} beside {beside}", words,
                              {asked: good, beside: bad, "own.py": ZERO}, "work"))  # fmt: skip
    for name in ("~", "/usr", "..", "/", "a/../a"):
        argv = own_train(f"--dataset={name}", "--reward=own.zero")
        found.append(Case(GLOB, f"--dataset {name}", argv, {"own.py": ZERO}, env={"HOME": "/usr"}, says=(name,)))
    for name in (
        "https://example.org/x.jsonl",
        "s3://bucket/x.jsonl",
        "file:///etc/passwd",
        "no/such",
        "nosuch",
        "hf://a/b",
    ):
        argv = own_train(f"--dataset={name}", "--reward=own.zero")
        found.append(Case(GLOB, f"--dataset {name}", argv, {"own.py": ZERO}, says=(name, "dataset")))
    return found


def _encodings() -> list[Case]:
    shown = (("methods",), ("methods", "band-kl"), ("bounds",), ("match",), ("doctor",), ("doctor", "trl"), ("recipe",),
             ("data", "list"), ("methods", "--json"), ("--help",), ("train", "--help"))  # fmt: skip
    found = [
        Case(ENCODING, f"{' '.join(words)} on {encoding}", words, env={"PYTHONIOENCODING": encoding},
             must="either" if words[0] == "doctor" else "work")
        for encoding in ("ascii", "latin-1") for words in shown
    ]  # fmt: skip
    evaluate = ("eval", "--n", "2", "--limit", "2", "--k", "1", "--output-dir", "größer")
    for words in (small_train("--output_dir=größer"), evaluate):
        found.append(Case(ENCODING, f"{words[0]} on ascii", words, env={"PYTHONIOENCODING": "ascii"}, must="work"))
    return found
