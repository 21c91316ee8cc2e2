"""Runs: training through TRL with evaluations, and comparison of methods over seeds."""
