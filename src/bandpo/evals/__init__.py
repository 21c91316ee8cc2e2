"""Evaluation: samples of any causal model on verifiable tasks, and scores that are what they say."""
