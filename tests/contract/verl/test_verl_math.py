"""The math data and reward on verl: its own data set class, and its reward worker's way to call, inside a Ray actor."""

from pathlib import Path

import pytest

pytest.importorskip("verl.trainer", reason="verl is not installed here: make test-engines")

from bandpo.data import prepare

pytestmark = pytest.mark.exercises("real function")

SAMPLES = Path(__file__).parents[2] / "data" / "samples"


def _tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, []))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made = PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", eos_token="<eos>")
    made.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    return made


def test_verl_reads_what_was_prepared(tmp_path):
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    source = str(SAMPLES / "dapo-math-17k.parquet")
    report = prepare("dapo-math-17k", tmp_path, source=source, formats=["verl"], template="paper", near=1.0)
    options = {"max_prompt_length": 1024, "filter_overlong_prompts": True, "truncation": "error"}
    rows = RLHFDataset(data_files=report.files[0], tokenizer=_tokenizer(), config=OmegaConf.create(options))
    assert len(rows) == report.kept == 13
    assert rows[0]["data_source"] == "dapo-math-17k" and rows[0]["index"] == 0
    assert rows[0]["reward_model"] == {"style": "rule", "ground_truth": "30"}
    assert rows[0]["raw_prompt"][0]["content"].startswith("Solve the following math problem step by step.")


def test_grading_inside_a_ray_actor():
    pytest.importorskip("flint", reason="python-flint is not installed")
    ray = pytest.importorskip("ray")

    class Worker:
        async def grade(self):
            """As verl's reward loop does: blocking calls in the event loop's threads."""
            import asyncio

            from bandpo.rewards import compute_score

            loop = asyncio.get_running_loop()
            calls = [
                loop.run_in_executor(None, compute_score, "math", rf"\boxed{{{n}x+x}}", f"{n + 1}x+{n % 2}")
                for n in range(6)
            ]
            return [result["acc"] for result in await asyncio.gather(*calls)]

    ray.init(num_cpus=1, include_dashboard=False, configure_logging=False)
    try:
        assert ray.get(ray.remote(Worker).remote().grade.remote(), timeout=120) == [True, False] * 3
    finally:
        ray.shutdown()
