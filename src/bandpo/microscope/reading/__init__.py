"""Batches out of files of any engine, format by format; nothing is run that a file holds."""
