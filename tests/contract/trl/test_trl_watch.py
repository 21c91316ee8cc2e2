"""What a training run says of its first uses and writes down, in TRL's own trainer."""

import warnings

import pytest
import torch
from trl_tiny import BandGRPOConfig, BandGRPOTrainer, even_digits, model, options, prompts, tokenizer

from bandpo.microscope.file import read_file

SETTINGS = {"num_iterations": 2, "steps_per_generation": 2, "gradient_accumulation_steps": 1}


class Trainer(BandGRPOTrainer):
    """A trainer whose old log-probs are changed after TRL computed them."""

    change = staticmethod(lambda logps: logps)

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        if output.get("old_per_token_logps") is not None:
            output["old_per_token_logps"] = self.change(output["old_per_token_logps"])
        return output


def trained(folder, change=None, spread=0.3, **changes):
    """Return the trainer after a short run, and what was warned."""
    args = BandGRPOConfig(**options(folder, **{**SETTINGS, "max_steps": 8, **changes}))
    trainer = Trainer(model(spread), even_digits, args, train_dataset=prompts(), processing_class=tokenizer())
    trainer.change = change or trainer.change
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.train()
    return trainer, [str(warning.message) for warning in caught]


def recorded(folder):
    files = sorted((folder / "batches").glob("*.safetensors"))
    return [batch for file in files for batch in read_file(file)]


def test_a_right_run_has_ratio_one_at_first_uses_and_says_nothing(tmp_path):
    trainer, said = trained(tmp_path, max_steps=24, learning_rate=1e-4)
    assert not any("first use" in text for text in said)
    logs = [entry for entry in trainer.state.log_history if "band/first_ratio_error" in entry]
    assert len(logs) == 6 and all(entry["band/first_ratio_error"] < 1e-5 for entry in logs)


@pytest.mark.parametrize("name", ["temperature", "shifted"])
def test_a_fault_is_said_once_and_measured(tmp_path, name):
    change = {"temperature": lambda logps: logps * 1.4, "shifted": lambda logps: logps.roll(1, 1)}[name]
    trainer, said = trained(tmp_path, change, max_steps=40, learning_rate=1e-4)
    assert sum("At the first use of a batch" in text for text in said) == 1
    logs = [entry["band/first_ratio_error"] for entry in trainer.state.log_history if "band/first_ratio_error" in entry]
    assert min(logs) > 0.1


def test_sixteen_bits_are_said_with_their_share_of_the_band(tmp_path):
    _, said = trained(tmp_path, lambda logps: logps.bfloat16())
    assert sum("Old log-probs in bf16: rounding fills up to" in text for text in said) == 1


def test_of_a_method_without_a_band_no_band_is_said(tmp_path):
    _, said = trained(tmp_path, lambda logps: logps.bfloat16(), method="cispo")
    assert sum("logp_old is bfloat16" in text for text in said) == 1 and not any("of the band" in text for text in said)


def test_a_step_is_recorded_as_the_loss_saw_it(tmp_path):
    seen = []

    class Watched(Trainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            loss = super().compute_loss(model, inputs, *args, **kwargs)
            seen.append((self.state.global_step, inputs))
            return loss

    settings = {**SETTINGS, "max_steps": 7, "record_every": 3, "gradient_accumulation_steps": 2}
    args = BandGRPOConfig(**options(tmp_path, **settings, band_delta=0.07))
    trainer = Watched(model(0.3), even_digits, args, train_dataset=prompts(), processing_class=tokenizer())
    trainer.train()
    trainer._watch.wait()
    batches = recorded(tmp_path)
    assert [batch.step for batch in batches] == [0, 3, 6]
    for batch in batches:
        parts = [inputs for step, inputs in seen if step == batch.step]
        assert len(parts) == 2
        mask = torch.cat([part["completion_mask"] for part in parts]) != 0
        for name, theirs in (("logp_old", "old_per_token_logps"), ("token_ids", "completion_ids")):
            assert torch.equal(getattr(batch, name)[mask], torch.cat([part[theirs] for part in parts])[mask])
        assert batch.tokens == int(mask.sum()) and batch.settings["options"]["delta"] == 0.07
        for group in batch.groups.unique():
            rows = (batch.groups == group).nonzero().flatten().tolist()
            assert len({batch.prompts[row] for row in rows}) == 1
        texts = [
            "".join(batch.texts[int(t)] for t in ids[m]) for ids, m in zip(batch.token_ids, batch.mask, strict=True)
        ]
        assert batch.rewards.tolist() == even_digits([text.replace("<eos>", "") for text in texts])
    assert [batch.is_first_use for batch in batches] == [True, False, True]


def test_nothing_is_recorded_unless_asked_for(tmp_path):
    trained(tmp_path, max_steps=2)
    assert not (tmp_path / "batches").exists()


@pytest.mark.parametrize("changes", [{"record_every": -1}, {"record_tokens": 0}])
def test_recording_options_out_of_range_are_refused(tmp_path, changes):
    with pytest.raises(ValueError, match="record_"):
        BandGRPOConfig(**options(tmp_path, **changes))
