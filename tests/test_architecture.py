"""The four floors: every module imports only from its own floor and those below."""

import ast
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "bandpo"
FLOORS = {
    "core": 1,
    "kernels": 1,
    "testing": 1,
    "engines": 2,
    "tasks": 3,
    "rewards": 3,
    "data": 3,
    "evals": 3,
    "runs": 3,
    "views": 3,
    "bench": 3,
    "cli": 4,
    "__main__": 4,
    "__init__": 1,
    "_api": 1,
}
CORE_MAY_IMPORT = {"torch", "bandpo", *sys.stdlib_module_names}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def floor(module: str) -> int:
    parts = module.split(".")
    return FLOORS[parts[1]] if len(parts) > 1 and parts[1] in FLOORS else FLOORS["__init__"]


MODULES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(SOURCE)) for path in MODULES])
def test_imports_point_down(path):
    own = FLOORS[path.relative_to(SOURCE).parts[0].removesuffix(".py")]
    above = {name for name in imported(path) if name.split(".")[0] == "bandpo" and floor(name) > own}
    assert not above, f"{path.relative_to(SOURCE)} on floor {own} imports {above}"


@pytest.mark.parametrize(
    "path", sorted((SOURCE / "core").rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE))
)
def test_core_needs_torch_and_nothing_else(path):
    assert {name.split(".")[0] for name in imported(path)} <= CORE_MAY_IMPORT
