"""Equality of a reference and an answer: all rules, entered by importing the files that hold them."""

from bandpo.rewards.mathematics import equal_lists, equal_quantities, equal_relations
from bandpo.rewards.mathematics.rules import equal

RULES = (equal_relations, equal_lists, equal_quantities)

__all__ = ["RULES", "equal"]
