"""Floor 3: what the views compute, write and draw."""
