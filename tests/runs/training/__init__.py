"""Tests of `bandpo.runs.training`."""
