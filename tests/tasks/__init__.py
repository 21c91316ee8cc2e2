"""Tests of `bandpo.tasks`."""
