"""Names that the doctests use without importing them."""

import importlib.util

import pytest
import torch

import bandpo

# Adapters that cannot be imported without their engine.
collect_ignore = [f"src/bandpo/engines/{name}.py" for name in ("verl",) if importlib.util.find_spec(name) is None]


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace.update(torch=torch, bandpo=bandpo)
