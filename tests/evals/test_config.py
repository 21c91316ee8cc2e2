"""What identifies an evaluation, as it is kept and read back."""

import dataclasses

import pytest
import yaml

from bandpo.evals.config import EvalConfig

STORED = """\
model: Qwen/Qwen2.5-3B
n: 4
k:
- 1
- 4
temperature: 1.0
top_p: 1.0
seed: 0
batch_size: 7
engine: transformers
dtype: float32
engine_kwargs: {}
revision: null
template: null
limit: 10
plain: false
chat_template_kwargs: {}
model.commit: 0f3d
device: cpu
tasks:
- countdown
- a.b
countdown.source: countdown
countdown.problems: 10
countdown.sha256: 1ab
countdown.tokens_sha256: 2cd
countdown.reward: bandpo.tasks.countdown.reward
countdown.max_tokens: 7
countdown.one_answer: false
countdown.fixed_length: true
a.b.source: a.b.jsonl
a.b.problems: 3
a.b.sha256: 3ef
a.b.tokens_sha256: 4ab
a.b.reward: bandpo.rewards.math_reward
a.b.max_tokens: 4096
a.b.one_answer: true
a.b.fixed_length: false
version.bandpo: 0.1.0
version.vllm: null
"""


def test_what_is_kept_is_read_and_kept_again_to_the_byte():
    config = EvalConfig.read(yaml.safe_load(STORED))
    assert config.tasks["countdown"].max_tokens == 7 and config.tasks["a.b"].one_answer
    assert config.weights == {"commit": "0f3d"} and config.versions == {"bandpo": "0.1.0", "vllm": None}
    assert yaml.safe_dump(config.flat(), sort_keys=False, allow_unicode=True) == STORED


@pytest.mark.parametrize("name", [line.partition(":")[0] for line in STORED.splitlines() if line[0] != "-"])
def test_an_entry_that_is_missing_is_named(name):
    flat = yaml.safe_load(STORED)
    del flat[name]
    if name.startswith(("model.", "version.")):
        assert EvalConfig.read(flat).flat() == flat
    else:
        with pytest.raises(ValueError, match=f"^it lacks {name}$"):
            EvalConfig.read(flat)


def test_nothing_can_be_changed():
    config = EvalConfig.read(yaml.safe_load(STORED))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.n = 5
