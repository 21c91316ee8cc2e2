"""Trust regions: which log-ratios each token is allowed."""
