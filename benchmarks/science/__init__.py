"""A study bench: hundreds of runs of the embedded task at once, their parameters stacked along an axis of runs.

    python -m benchmarks.science.run --methods grpo,band-kl --seeds 100-111 --lr 1e-4 --out runs.jsonl

The algorithm is that of `bandpo train`: sample 16 answers a prompt, group advantages, 16 Adam updates a rollout. It is
for studies of what a trust region does, and trains nobody's model. Read `policies` (the stacked GPT-2), `sampling`,
`rules` (what a method does to a token), `update`, `stack` (the loop), in this order.
"""
