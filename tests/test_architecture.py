"""Every package knows only those below it, and no two know each other; imports inside functions count too."""

import ast
import re
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "bandpo"
# Lowest first. `bandpo` is the names that users import: the files beside the packages.
ORDER = (
    ("tasks", "rewards", "core", "files"),
    ("microscope",),
    ("kernels", "engines", "testing"),
    ("bandpo",),
    ("data",),
    ("store",),
    ("views", "evals"),
    ("runs", "speed"),
    ("cli",),
)
HEIGHT = {package: height for height, packages in enumerate(ORDER) for package in packages}
# The one file in which the core asks for the kernels, when a tensor is there that they serve.
ASKING_FOR_KERNELS = {"core/regions/dispatch.py"}
CORE_MAY_IMPORT = {"torch", "bandpo", *sys.stdlib_module_names}
MODULES = {str(path.relative_to(SOURCE)): path for path in sorted(SOURCE.rglob("*.py"))}


def imported(source: str) -> set[str]:
    """Return the modules a file imports anywhere in it, those it names for `import_module` included.

    >>> sorted(imported("def f():\\n    from bandpo import cli\\n    import_module('bandpo.evals.run')"))
    ['bandpo.cli', 'bandpo.evals.run']
    """
    names = set()
    tree = ast.parse(source)
    texts_of_f = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "bandpo":
            names |= {f"bandpo.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            names.add(node.module or "")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            is_start = id(node) in texts_of_f
            named = re.fullmatch(r"(bandpo(\.(?!json$)\w+)+)" + (r"\.?" if is_start else ""), node.value)
            names |= {named[1]} if named else set()
    return names


def package_of(module: str) -> str:
    """Return the package of one of our modules, `bandpo` for the files beside the packages."""
    return module.split(".")[1] if module.count(".") and module.split(".")[1] in HEIGHT else "bandpo"


def packages_below(name: str) -> set[str]:
    """Return the packages that a file imports from, its own and the core's kernels left out."""
    known = {package_of(module) for module in imported(MODULES[name].read_text()) if module.split(".")[0] == "bandpo"}
    return known - {own_package(name)} - ({"kernels"} if name in ASKING_FOR_KERNELS else set())


def own_package(name: str) -> str:
    """Return the package that a file is of; `python -m bandpo` is the command line's."""
    return "cli" if name == "__main__.py" else name.partition("/")[0] if "/" in name else "bandpo"


def test_every_package_has_its_place():
    assert {own_package(name) for name in MODULES} == HEIGHT.keys()


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name):
    own = own_package(name)
    above = {package for package in packages_below(name) if HEIGHT[package] >= HEIGHT[own]}
    assert not above, f"{name} imports from {above}, which is not below {own}"


@pytest.mark.parametrize("name", [name for name in MODULES if own_package(name) == "core"])
def test_core_needs_torch_and_nothing_else(name):
    assert {module.split(".")[0] for module in imported(MODULES[name].read_text())} <= CORE_MAY_IMPORT


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("import bandpo.cli.app", "bandpo.cli.app"),
        ("from bandpo import runs", "bandpo.runs"),
        ("def f():\n    from bandpo.runs.folder import RunFolder", "bandpo.runs.folder"),
        ("class C:\n    def f(self):\n        import bandpo.evals", "bandpo.evals"),
        ("def __getattr__(name):\n    return import_module('bandpo.kernels')", "bandpo.kernels"),
        ("import_module(f'bandpo.data.{name}')", "bandpo.data"),
        ("ADAPTER = 'bandpo.engines.areal'", "bandpo.engines.areal"),
        ("if TYPE_CHECKING:\n    from bandpo.views import atlas", "bandpo.views"),
    ],
)
def test_every_way_to_import_is_seen(source, module):
    assert module in imported(source)


@pytest.mark.parametrize("source", ["'see bandpo.cli'", "'the bandpo command'", "'bandpo-bench-'", "'bandpo.json'"])
def test_a_text_is_no_import(source):
    assert not imported(source)
