"""What cannot be imported without verl, and is therefore not searched for doctests."""

collect_ignore = ["trinity_cpu.py"]
