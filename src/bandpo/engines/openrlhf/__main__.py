"""`python -m bandpo.engines.openrlhf '{"method": ...}' ...`: OpenRLHF's `train_ppo_ray` with our loss."""

from bandpo.engines.openrlhf.adapter import main

if __name__ == "__main__":
    main()
