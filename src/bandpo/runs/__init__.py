"""Runs: training through TRL, comparison of methods over seeds, and the commands of the paper's runs."""
