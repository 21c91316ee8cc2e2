"""Names that the doctests use without importing them."""

import pytest
import torch

import bandpo


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace.update(torch=torch, bandpo=bandpo)
