"""Tests of `bandpo.runs`."""
