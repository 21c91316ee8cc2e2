"""What verl imports from TRL and a release of TRL does not have, read from files."""

import pytest

from bandpo.engines.verl import check as verl
from bandpo.engines.verl import trl_names

IMPORTS = """
def patch():
    try:
        from trl.experimental.ppo import ValueHead  # type: ignore
    except ImportError:
        from trl import ValueHead
"""


@pytest.fixture
def packages(tmp_path):
    """(files of TRL) -> folders of a verl that imports ValueHead, and of that TRL."""
    folder = tmp_path / "verl" / "models"
    folder.mkdir(parents=True)
    (folder / "patch.py").write_text(IMPORTS)

    def build(**files):
        for name, text in {"trl/__init__": "", **files}.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "verl", tmp_path / "trl"

    return build


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({}, ["ValueHead"]),
        ({"trl/__init__": "from .models import ValueHead"}, []),
        ({"trl/experimental/ppo/__init__": '_structure = ["ValueHead"]'}, []),
        ({"trl/experimental/ppo": "class ValueHead: ..."}, []),
        ({"trl/experimental/ppo/__init__": "class ValueHeads: ..."}, ["ValueHead"]),
        ({"trl/experimental/grpo/__init__": "class ValueHead: ..."}, ["ValueHead"]),
    ],
)
def test_one_of_the_places_is_enough(packages, files, missing):
    assert trl_names.names_lacking(*packages(**files)) == missing


def test_the_doctor_says_so(packages, monkeypatch):
    verl_folder, trl_folder = packages()
    folders = {"verl": verl_folder, "trl": trl_folder}
    monkeypatch.setattr(trl_names, "_package", folders.get)
    texts = [finding.text for finding in verl.check({}) if finding.level == "fail"]
    assert not any("workers die" in text for text in texts)  # verl itself is not installed
    (finding,) = verl._trl()
    assert (
        finding.level == "fail" and "verl imports ValueHead from TRL" in finding.text and "trl<1.13" in finding.advice
    )
    monkeypatch.setattr(trl_names, "_package", {"verl": verl_folder}.get)
    assert verl._trl() == []
