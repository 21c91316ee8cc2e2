"""Attacks on the command line from outside: kills, damaged files, bad input; what survived is counted.

    python -m benchmarks.attack [--only PART] [--resume] [--case WORDS]

Every attack is a process of its own that runs `bandpo` as a user types it. See docs/reliability.md.
"""
