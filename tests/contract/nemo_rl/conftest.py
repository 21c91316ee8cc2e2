"""What cannot be imported without NeMo-RL, and is therefore not searched for doctests."""

collect_ignore = ["nemo_rl_actors.py"]
