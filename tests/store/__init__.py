"""Tests of `bandpo.store`."""
