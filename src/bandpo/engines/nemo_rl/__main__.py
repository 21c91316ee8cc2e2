"""`python -m bandpo.engines.nemo_rl SCRIPT ...`: NeMo-RL's launch script with our loss."""

from bandpo.engines.nemo_rl.adapter import main

if __name__ == "__main__":
    main()
