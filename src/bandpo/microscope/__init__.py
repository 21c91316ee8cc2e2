"""What a loss saw, kept and looked at: recorded batches, their reading, the alignment of log-probs, the inspection."""
