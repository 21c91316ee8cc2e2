"""What the engines share: options into an objective, an objective into clip settings, findings about both."""
