"""Tests of `bandpo.evals.generation`."""
