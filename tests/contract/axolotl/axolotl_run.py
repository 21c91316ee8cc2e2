"""A configuration of Axolotl's for a tiny CPU run, with everything it names in one folder."""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "trl"))

REWARD = """
def even_digits(prompts, completions, **_):
    return [float(sum(character in "02468" for character in completion)) for completion in completions]
"""


def configuration(folder, bandpo, trl=None, **changes):
    """The YAML as a mapping; the model, the prompts and the reward function are written to the folder."""
    from trl_tiny import model, prompts, tokenizer

    model().save_pretrained(folder / "model")
    tokenizer().save_pretrained(folder / "model")
    lines = (json.dumps(row) for row in prompts())
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    (folder / "tiny_reward.py").write_text(REWARD)
    stock = {
        "max_completion_length": 8,
        "num_generations": 4,
        "reward_funcs": ["tiny_reward.even_digits"],
        "num_iterations": 2,
        "temperature": 0.9,
    }
    return {
        "base_model": str(folder / "model"),
        "plugins": ["bandpo.engines.axolotl.BandPlugin"],
        "bandpo": bandpo,
        "rl": "grpo",
        "trl": stock | (trl or {}),
        "datasets": [{"path": str(folder / "prompts.jsonl"), "ds_type": "json", "split": "train", "type": None}],
        "dataset_prepared_path": str(folder / "prepared"),
        "dataset_num_proc": 1,
        "val_set_size": 0,
        "output_dir": str(folder / "out"),
        "sequence_len": 64,
        "micro_batch_size": 16,
        "gradient_accumulation_steps": 1,
        "max_steps": 4,
        "num_epochs": 1,
        "learning_rate": 0.01,
        "optimizer": "adamw_torch",
        "lr_scheduler": "constant",
        "logging_steps": 1,
        "save_steps": 4,
        "bf16": False,
        "fp16": False,
        "tf32": False,
        "attn_implementation": "eager",
        "use_cpu": True,
        "device_map": "cpu",
        **changes,
    }
