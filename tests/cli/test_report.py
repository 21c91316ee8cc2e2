"""`bandpo report` as a user types it: what it writes, and mistakes in one line before any work."""

import shlex

import pytest
import typer
from typer.testing import CliRunner

from bandpo.cli.report import register
from tests.views.report.conftest import write_batches, write_comparison, write_run


@pytest.fixture
def run(tmp_path, monkeypatch):
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    write_batches(write_run(tmp_path / "band-kl") / "batches")
    write_comparison(tmp_path / "compared")
    (tmp_path / "mine.html").write_text("<p>mine")
    monkeypatch.chdir(tmp_path)
    return lambda words: CliRunner().invoke(app, shlex.split(f"report {words}"))


def test_a_page_is_written_its_size_is_said_and_it_may_be_replaced(run, tmp_path):
    for _ in range(2):
        result = run("compared")
        assert result.exit_code == 0, result.output
        assert "report.html (4.8 MB): open it in a browser" in result.stdout
    assert not list(tmp_path.glob("*.partial"))
    assert run("band-kl compared band-kl/batches --method grpo:eps_low=0.1 --out both.html").exit_code == 0
    assert "The region (grpo:eps_low=0.1)" in (tmp_path / "both.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("absent", "absent: no such file or folder"),
        (".", "holds no run"),
        ("band-kl --out nowhere/report.html", "no folder 'nowhere'"),
        ("band-kl --out report.pdf", "expected a file ending in .html"),
        ("band-kl --out mine.html", "is there and no report of ours"),
        ("band-kl/config.yaml", "of no known format"),
        ("band-kl --method nosuch", "nosuch"),
        ("band-kl --method grpo,band-kl", "expected one method"),
        ("band-kl --method grpo:eps=1", "eps"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(run, tmp_path, words, said):
    result = run(words)
    assert result.exit_code == 2 and said in result.stderr, result.output
    assert result.stderr.startswith("bandpo report: ") and len(result.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.glob("*.html")) == ["mine.html"]
    assert (tmp_path / "mine.html").read_text() == "<p>mine"
