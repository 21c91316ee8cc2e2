"""What contract tests take from this package is there, also where their engine is not and they are skipped."""

import ast
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
FILES = sorted(str(path.relative_to(HERE)) for path in HERE.rglob("*.py"))


def taken(tree):
    """(module, name, bound to) of every import from bandpo in a file; without a name the module itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bandpo":
            yield from ((node.module, one.name, one.asname or one.name) for one in node.names)
        elif isinstance(node, ast.Import):
            yield from ((one.name, "", one.asname or one.name) for one in node.names if one.name.startswith("bandpo"))


def imported(name):
    """The module, None where its engine is not installed; ImportError if this package has no such module."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if (error.name or "").split(".")[0] == "bandpo":
            raise
        return None


def has(module, name):
    """Whether the module has that name, or would have it with its engine."""
    if name in vars(module):
        return True
    if "__getattr__" in vars(module) and name in Path(module.__file__).read_text():
        return True  # it may need the engine
    return is_below(module, name)


def is_below(module, name):
    """Whether it is a package with a module of that name."""
    return hasattr(module, "__path__") and importlib.util.find_spec(f"{module.__name__}.{name}") is not None


def bound(name, inside):
    """What `from name import inside` binds, `import name` without `inside`, if that is a module, otherwise None.

    Raises:
        ImportError: this package has no such name.
    """
    module = imported(name)
    if module is None or not inside:
        return module
    if not has(module, inside):
        raise ImportError(f"{name} has no {inside}")
    if is_below(module, inside):
        return imported(f"{name}.{inside}")
    found = vars(module).get(inside)
    return found if isinstance(found, ModuleType) else None


def missing(text):
    """Names that a file takes from bandpo, or reads of modules taken from it, and that are not there."""
    tree, found, modules = ast.parse(text), [], {}
    for name, inside, called in taken(tree):
        try:
            modules[called] = bound(name, inside)
        except ImportError:
            found.append(f"{name}.{inside}".rstrip("."))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and isinstance(node.ctx, ast.Load):
            module = modules.get(node.value.id)
            if module is not None and not has(module, node.attr):
                found.append(f"{module.__name__}.{node.attr}")
    return found


@pytest.mark.parametrize("file", FILES)
def test_every_name_is_there(file):
    assert missing((HERE / file).read_text()) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("from bandpo.engines.tinker import adapter\nadapter.gone()", ["bandpo.engines.tinker.adapter.gone"]),
        ("from bandpo import gone", ["bandpo.gone"]),
        ("from bandpo.engines.gone import x", ["bandpo.engines.gone.x"]),
        ("import bandpo\nbandpo.gone", ["bandpo.gone"]),
        ("import bandpo.gone", ["bandpo.gone"]),
        ("from bandpo.engines import tinker as engine\nengine.band_loss, engine.use_in_cookbook", []),
        ("import bandpo\nbandpo.band\nfrom bandpo.engines.trl import BandGRPOTrainer", []),
    ],
)
def test_a_name_that_is_gone_is_found(text, wrong):
    assert missing(text) == wrong
