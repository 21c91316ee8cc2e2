"""Generation: prompts as tokens and seeds in, samples out, by transformers or vLLM."""
