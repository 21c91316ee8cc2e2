"""Floor 3, runs: evaluation, training through TRL, and comparison of methods over seeds."""
