r"""Answers in mathematics, read strictly: each as a whole or not at all, and compared exactly.

text.py        one spelling of Unicode and LaTeX
tokens.py      a closed vocabulary
expressions.py, calls.py, numerals.py       expressions by recursive descent
quantities.py, conditions.py, structures.py answers around them
labels.py, words.py, choices.py, units.py   what words say
readings.py    all readings of a text
values.py, special.py, same.py              exact values, or balls that contain them
real_sets.py, statements.py, equal.py       forms against forms
"""
