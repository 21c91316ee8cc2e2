"""The table of engines says what the contract tests' results say, and the doctor's commands run as typed."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE, VERL = ROOT / "docs" / "engines.md", ROOT / "docs" / "engines" / "verl.md"


@pytest.fixture
def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_result_is_a_row_with_its_numbers():
    page = PAGE.read_text(encoding="utf-8")
    rows = json.loads((ROOT / "benchmarks" / "results" / "engines.json").read_text())["rows"]
    for one in rows:
        counts = f"{one['passed']}, {len(one['failed'])}, {sum(one['skipped'].values())}"
        pattern = (
            rf"^\| \[?{one['engine']}\b.*\| {re.escape(one['version'] or '–')} \| .* \| {counts} \|.*{one['date']} \|$"
        )
        assert re.search(pattern, page, re.MULTILINE), one["environment"]


def test_a_result_changes_the_table_and_no_other_line(generate, tmp_path, monkeypatch):
    results, page = tmp_path / "results", tmp_path / "engines.md"
    results.mkdir()
    row = {
        "engine": "verl",
        "version": "9.9",
        "exercised": None,
        "note": "no Python 3.99",
        "passed": 0,
        "failed": ["a"],
    }
    row |= {"skipped": {"why": 2}, "python": None, "torch": None, "date": "2030-01-01"}
    (results / "engines.json").write_text(json.dumps({"rows": [row]}))
    versions = {"python": "3.99.1", "torch": "9.1", "trl": "9.2"}
    suites = {"trl": {"passed": 3, "failed": [], "skipped": {"why": 4}, "date": "2030-01-02"}}
    of_trl = {"versions": versions, "suites": suites}
    (results / "versions.json").write_text(json.dumps({"rows": [of_trl, {**of_trl, "suites": {}}]}))
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(generate, "RESULTS", results)
    monkeypatch.setattr(generate, "ENGINES", page)
    changed = generate.engines_page()
    assert "| verl | 9.9 | nothing: no Python 3.99 | 0, 1, 2 | – | – | 2030-01-01 |" in changed
    assert changed.count("| trl | 9.2 | whole trainer | 3, 0, 4 | 3.99.1 | 9.1 | 2030-01-02 |") == 1
    outside = re.compile(f"{re.escape(generate.START)}.*{re.escape(generate.END)}", re.DOTALL)
    assert outside.sub("", changed) == outside.sub("", page.read_text(encoding="utf-8"))


def test_a_page_without_the_lines_around_its_table_is_an_error(generate, tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "ENGINES", tmp_path / "engines.md")
    generate.ENGINES.write_text("# Engines\n")
    with pytest.raises(ValueError, match="expected the lines"):
        generate.engines_page()


def test_the_lines_for_verl_are_the_same_in_readme_and_page():
    def lines(path):
        return re.findall(
            r"\+?actor_rollout_ref.actor.policy_loss\.\S+=\S+(?= \\\n|\n)", path.read_text(encoding="utf-8")
        )

    assert lines(ROOT / "README.md") == lines(VERL)[:4] and len(lines(ROOT / "README.md")) == 4


def test_the_table_of_costs_is_what_was_measured():
    found = json.loads((ROOT / "benchmarks" / "results" / "engine_overhead.json").read_text())
    long = found["shapes"][-1]
    assert (long["responses"], long["tokens"]) == (4, 8192)
    rows = re.findall(
        r"^\| (?:verl, )?`(\w+)`(?:, `method=([\w-]+)`.*)? \| ([\d.]+) \| ([\d.]+) \|$", PAGE.read_text(), re.M
    )
    assert len(rows) == 4
    for name, method, milliseconds, ratio in rows:
        key = f"bandpo {method}" if method else f"verl {name}"
        assert float(milliseconds) == pytest.approx(long["milliseconds"][key], rel=0.02)
        assert float(ratio) == pytest.approx(long["ratio"][key], rel=0.02)


def test_the_table_of_trls_options_is_what_the_configuration_goes_by():
    pytest.importorskip("trl")
    from bandpo.engines.trl.fields import KINDS, rows

    page = (ROOT / "docs" / "engines" / "trl.md").read_text(encoding="utf-8")
    shown = [tuple(row) for row in re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", page, re.M) if row[1] in KINDS]
    assert shown == rows()


def test_every_release_of_trl_named_on_verls_page_is_the_one_the_doctor_names():
    from bandpo.engines.verl import check as verl

    source = Path(verl.__file__).read_text(encoding="utf-8")
    assert re.findall(r"trl<[\d.]+", VERL.read_text(encoding="utf-8")) == re.findall(r"trl<[\d.]+", source)
