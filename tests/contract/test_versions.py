"""The table of releases: how rows are chosen and replaced, and what is said of one that failed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import environments
import pytest
import versions

PASSED = {"date": "2030-01-01", "passed": 3, "failed": [], "skipped": {"why": 2}, "seconds": 1.0}
RELEASES = {"python": "3.12.1", "torch": "2.15.0", "transformers": "5.24.0", "trl": "1.16.0"}


def found(name, **changes):
    row = {"row": name, "date": "2030-01-01", "versions": RELEASES, "suites": {"core": PASSED}, "train": "", "note": ""}
    return row | changes


def test_rows_have_names_of_their_own_and_suites_that_exist():
    names = [row.name for row in versions.ROWS]
    assert len(set(names)) == len(names)
    for row in versions.ROWS:
        assert set(row.suites) <= set(versions.SUITES)
        assert {pin.split("==")[0] for pin in row.packages} >= {"torch", "transformers", "trl"}
    assert all((environments.ROOT / folder).is_dir() for folder in versions.SUITES.values())


def test_the_oldest_row_is_the_floor_of_pyproject():
    text = (environments.ROOT / "pyproject.toml").read_text()
    (oldest,) = versions.chosen("oldest")
    assert f'requires-python = ">={oldest.python}"' in text
    for pin in oldest.packages:
        name, _, version = pin.partition("==")
        assert not version or f'"{name}>={version.removesuffix(".0")}"' in text, pin


def test_every_python_that_pyproject_names_has_a_row():
    text = (environments.ROOT / "pyproject.toml").read_text()
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    assert set(named) == {row.python for row in versions.ROWS}


def test_a_row_is_chosen_by_its_name_or_its_beginning():
    assert [row.name for row in versions.chosen("oldest")] == ["oldest"]
    assert {row.python for row in versions.chosen("newest")} == {"3.12", "3.13", "3.14"}
    assert all(row.suites == ("trl",) for row in versions.chosen("trl"))
    with pytest.raises(ValueError, match=r"ROW new: expected some of pinned, .*, or a beginning of them"):
        versions.chosen("new")


def test_a_row_is_replaced_where_it_stands_and_no_other():
    earlier = [found("pinned"), found("oldest"), found("gone")]
    assert versions.merged(earlier, found("oldest", note="new")) == [found("pinned"), found("oldest", note="new")]
    assert [one["row"] for one in versions.merged(earlier, found("newest-3.13"))] == ["pinned", "newest-3.13", "oldest"]


def test_suites_that_did_not_run_stay_with_the_same_releases():
    earlier = [found("oldest", suites={"core": PASSED, "trl": PASSED}, train="ValueError: why")]
    again = found("oldest", suites={"trl": {**PASSED, "passed": 4}}, train=None)
    (one,) = versions.merged(earlier, again)
    assert one["suites"] == {"core": PASSED, "trl": {**PASSED, "passed": 4}} and one["train"] == "ValueError: why"
    assert versions.merged(earlier, {**again, "train": ""})[0]["train"] == ""
    other = {**again, "versions": RELEASES | {"torch": "2.16.0"}}
    assert versions.merged(earlier, other) == [other]


def test_the_page_says_what_failed():
    failed = found("oldest", suites={"core": {**PASSED, "failed": ["test_a[1]"]}}, train="ValueError: why")
    missing = found("newest-3.12", suites={}, train=None, note="no Python 3.12")
    page = versions.table([found("pinned"), missing, failed], "Linux, 2 cores")
    assert "| pinned | 3.12.1 | 2.15.0 | 5.24.0 | 1.16.0 | 3, 0, 2 | – | – | – | yes | 2030-01-01 |" in page
    assert "| newest-3.12 | 3.12.1 | 2.15.0 | 5.24.0 | 1.16.0 | – | – | – | – | – | 2030-01-01 |" in page
    assert "| 3, 1, 2 | – | – | – | no |" in page
    assert page.endswith(
        "- newest-3.12: no Python 3.12\n"
        "- oldest: core: test_a[1]\n"
        "- oldest: `bandpo train`: ValueError: why\n"
        "\n"
        "- skipped: why\n"
    )


def test_the_committed_page_is_of_the_committed_numbers():
    committed = json.loads((versions.RESULTS / "versions.json").read_text())
    assert (versions.RESULTS / "versions.md").read_text() == versions.table(committed["rows"], committed["machine"])


@pytest.mark.parametrize(
    "changes",
    [
        {"note": "no Python 3.12", "suites": {}, "train": None},
        {"train": "ValueError: why"},
        {"suites": {"core": {**PASSED, "failed": ["test_a"]}}},
        {"suites": {"core": {**PASSED, "passed": 0}}},
    ],
)
def test_a_row_that_did_not_run_or_pass_has_failed(changes):
    assert versions.has_failed(found("oldest", **changes)) and not versions.has_failed(found("oldest"))


def test_an_interpreter_that_is_missing_is_a_row_that_says_so():
    (row,) = versions.run(versions.Row("none", "2.1", ("torch==2.4.0", "transformers==5.6.2", "trl==1.0.0")))
    assert (row["note"], row["suites"], row["train"]) == ("no Python 2.1", {}, None)
    assert row["versions"] == {"python": "2.1", "torch": "2.4.0", "transformers": "5.6.2", "trl": "1.0.0"}


def test_a_row_grows_suite_by_suite_and_an_environment_of_its_pins_is_used_again(tmp_path, monkeypatch):
    row = versions.Row("some", "3.99", ("torch==9.9", "trl==9.9"), ("core", "trl"))
    monkeypatch.setattr(versions, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(versions, "installed", lambda python: RELEASES)
    monkeypatch.setattr(versions, "tested", lambda python, suite, name: PASSED)
    monkeypatch.setattr(versions, "trained", lambda python, name: "")
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "pins.txt").write_text("3.99\ntorch==9.9\ntrl==9.9\n")
    grown = [(list(one["suites"]), one["train"]) for one in versions.run(row, keep=True)]
    assert grown == [(["core"], None), (["core", "trl"], None), (["core", "trl"], "")]
    assert [list(one["suites"]) for one in versions.run(row, only=["trl"])] == [["trl"]]
    assert not (tmp_path / "some").exists()
    assert [one["note"] for one in versions.run(row)] == ["no Python 3.99"]


def test_an_installation_that_fails_says_what_pip_said():
    python = Path(sys.executable)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        environments.pip_install(python, "--no-index", "--dry-run", "no-such-distribution-of-anyone==1.0")
    reason = environments.installation_error(caught.value)
    assert reason.startswith("an installation failed: Could not find a version") and "no-such-distribution" in reason
    assert environments.installation_error(subprocess.CalledProcessError(1, ["pip"])) == "an installation failed"


def test_a_suite_without_a_report_has_failed_as_a_whole(monkeypatch):
    def ends(*_):
        raise RuntimeError("pytest of tests/core ended with exit code 4 and left no report")

    monkeypatch.setattr(versions, "run_tests", ends)
    one = versions.tested(Path(sys.executable), "core", "oldest")
    assert one["passed"] == 0 and one["failed"] == ["pytest of tests/core ended with exit code 4 and left no report"]
