"""What changes torch as it is imported, and is therefore not searched for doctests."""

collect_ignore = ["trinity_rft_cpu.py"]
