"""Files that last: written whole, flushed to the disk."""
