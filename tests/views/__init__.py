"""What the views compute, write and draw."""
