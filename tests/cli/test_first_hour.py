"""What the smallest installation can do, how fast it starts, and what it says to a name nearly known."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bandpo.cli.app import app

# Everything that `pip install 'bandpo[cli]'` does not bring.
ABSENT = ("numpy", "scipy", "trl", "transformers", "datasets", "matplotlib", "plotly", "tqdm", "safetensors", "jinja2")
SERVED = ["--version", "bounds", "match", "data list", "methods band-kl", "train --help"]
REFUSED = {"atlas": "view", "bounds --draw b.png": "view", "train": "train"}
BARE = f"""
import contextlib, io, json, sys
sys.modules.update(dict.fromkeys({ABSENT!r}))
from bandpo.cli import main
found = {{}}
for line in {[*SERVED, *REFUSED]!r}:
    sys.argv[1:], code = line.split(), 0
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as ending:
            code = ending.code or 0
    found[line] = code, out.getvalue(), err.getvalue()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Exit code, output and errors of every command, in one process in which nothing but core and typer is there."""
    folder = tmp_path_factory.mktemp("bare")
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0 and "NumPy" not in done.stderr, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("line", SERVED)
def test_core_and_typer_alone_serve_it(line, bare):
    code, out, err = bare[line]
    assert code == 0 and out, err


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_missing_is_named_with_its_extra(line, bare):
    code, _, err = bare[line]
    assert code == 1 and f"pip install 'bandpo[{REFUSED[line]}]'" in err


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["--version"], ["data", "list"]], ids=" ".join)
def test_help_imports_neither_torch_nor_trl(words, tmp_path):
    code = (
        "import sys\nfrom bandpo.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'trl', 'numpy') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr.strip().endswith("[]")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("train --method band_kl", "did you mean 'band-kl'?"),
        ("compare --methods clip_higher", "did you mean 'clip-higher'?"),
        ("bounds --methods Band-KL", "did you mean 'band-kl'?"),
        ("bounds --methods band-kl:detla=0.1", "did you mean 'delta'?"),
        ("methods bandkl", "did you mean band-kl"),
        ("match --divergence hellinge", "did you mean 'hellinger'?"),
        ("train --config contdown", "did you mean 'countdown'?"),
        ("train --model coundown", "did you mean 'countdown'?"),
        ("train --dataset countdwn --reward bandpo.tasks.countdown.reward", "did you mean 'countdown'?"),
        ("eval --tasks countdwn", "did you mean 'countdown'?"),
        ("eval --tasks aime_24", "did you mean 'aime24'?"),
        ("data prepare dapo-math17k --out out", "did you mean 'dapo-math-17k'?"),
        ("data prepare foo --out out", "no Hub id of the form owner/name"),
        ("train --lerning-rate 1", "did you mean '--learning-rate'?"),
    ],
)
def test_a_name_nearly_known_is_answered_with_it(words, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 2 and expected in result.stderr, result.output
