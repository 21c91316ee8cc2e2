"""The harness: what it reads of an engine's folder and of pytest's report, and which rows it replaces."""

import subprocess
import sys
from pathlib import Path

import engines
import environments
import pytest


def test_every_folder_describes_its_environments():
    for name in engines.engine_names():
        for one in engines.environments(name):
            assert one.name.startswith(name) and one.package
    assert "trl" not in engines.engine_names() and "verl" in engines.engine_names()


def test_a_requirements_file(tmp_path):
    file = tmp_path / "requirements-0.2.txt"
    file.write_text("# What it is for.\n# python: 3.12\n# no-deps: a==1\n# no-deps: b==2\ntorch\n# python: 3.9\n")
    one = engines.read_environment("skyrl", file)
    assert (one.name, one.python, one.package) == ("skyrl-0.2", "3.12", "skyrl")
    assert one.without_dependencies == ("a==1", "b==2")
    file.write_text("# pyhton: 3.12\ntorch\n")
    with pytest.raises(ValueError, match=r"'# pyhton: 3\.12': expected one of python, engine, no-deps, tests"):
        engines.read_environment("skyrl", file)


def test_rows_of_the_engines_that_ran_are_replaced_and_no_other():
    def rows(*pairs):
        return [{"engine": engine, "environment": environment} for engine, environment in pairs]

    earlier = rows(("a", "a"), ("verl", "verl"), ("verl", "verl-0.7"))
    merged = engines.merged(earlier, rows(("verl", "verl-0.8")), {"verl", "verl-0.8"})
    assert merged == rows(("a", "a"), ("verl", "verl"), ("verl", "verl-0.8"))


def test_an_engine_or_one_of_its_environments_is_chosen():
    assert [one.name for one in engines.chosen("verl")] == [one.name for one in engines.environments("verl")]
    (one,) = engines.chosen("verl-main-ppo")
    assert (one.engine, one.tests) == ("verl", "test_verl_main_ppo.py")
    with pytest.raises(ValueError, match=r"ENGINE verl-0: expected some of areal, .*, or one of their environments"):
        engines.chosen("verl-0")


def test_an_interpreter_that_is_missing_is_a_row_that_says_so(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("# python: 2.1\n# no-deps: verl==0.9.1\n")
    row = engines.row(engines.read_environment("verl", file), fresh=True)
    assert (row["note"], row["version"], row["passed"], row["exercised"]) == ("no Python 2.1", "0.9.1", 0, None)


TESTS = """
import pytest

@pytest.mark.exercises("real function")
def test_one(): pass

@pytest.mark.exercises("real worker", version="1.2")
def test_two(record_property):
    record_property("measured", "3")
    assert False

@pytest.mark.exercises("signature only", version="1.2")
@pytest.mark.parametrize("i", range(3))
def test_three(i, record_property):
    if i:
        record_property("measured", f'{{"i": {i}}}')

def test_four(): pytest.skip("no reason")

def test_five(): pass
"""


def test_a_run_is_counted_by_what_it_exercised(tmp_path):
    folder = tmp_path / "tests"
    folder.mkdir()
    here = Path(__file__).parent
    (folder / "conftest.py").write_text(
        f"import sys; sys.path.insert(0, {str(here)!r})\n" + (here / "conftest.py").read_text()
    )
    (folder / "test_some.py").write_text(TESTS)
    (folder / "test_none.py").write_text("import pytest; pytest.importorskip('not_there.x', reason='not there')\n")
    report = environments.run_tests(Path(sys.executable), folder, tmp_path / "report.xml", "--rootdir", str(tmp_path))
    assert report["passed"] == 5 and report["failed"] == ["test_two"]
    assert report["skipped"] == {"no reason": 1, "not there": 1}
    assert report["exercised"] == {"real function": 1, "signature only": 3}
    assert report["versions"] == ["1.2"]
    assert report["measured"] == {"test_three[1]": {"i": 1}, "test_three[2]": {"i": 2}}


def test_an_unknown_level_is_an_error(tmp_path):
    here = Path(__file__).parent
    (tmp_path / "conftest.py").write_text(
        f"import sys; sys.path.insert(0, {str(here)!r})\n" + (here / "conftest.py").read_text()
    )
    (tmp_path / "test_some.py").write_text("import pytest\n@pytest.mark.exercises('everything')\ndef test(): pass\n")
    command = [sys.executable, "-m", "pytest", str(tmp_path), "--rootdir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (
        done.returncode == 4
        and "expected one of whole trainer, real worker, real function, signature only" in done.stderr
    )
