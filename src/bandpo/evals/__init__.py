"""Floor 3, evaluation: samples of any causal model on verifiable tasks, and scores that are what they say."""
