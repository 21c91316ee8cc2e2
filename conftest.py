"""Names that the doctests use without importing them."""

import importlib.util

import pytest
import torch

import bandpo

# An adapter that cannot be imported without its engine.
collect_ignore = ["src/bandpo/engines/verl/adapter.py"] if importlib.util.find_spec("verl") is None else []


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace.update(torch=torch, bandpo=bandpo)
