"""Tests of `bandpo.cli`."""
