"""Tests of `bandpo.runs.comparison`."""
