"""The policy loss and what goes around every method: corrections, aggregation, metrics."""
