"""What a run refuses before anything is read: options that nobody reads, splits of what has none, wrong schedules."""

import pytest

from bandpo.engines.trl import BandGRPOConfig
from bandpo.runs.training.arguments import RunArguments, check_settings


def refused(run=None, **options):
    args = BandGRPOConfig("out", use_cpu=True, bf16=False, max_steps=2, report_to="none", **options)
    with pytest.raises(ValueError) as caught:
        check_settings(run or RunArguments(), args)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resume_from_checkpoint", "run/checkpoint-4"),
        ("resume_from_checkpoint", True),
        ("eval_strategy", "steps"),
        ("eval_on_start", True),
        ("do_train", True),
        ("do_predict", True),
        ("restore_callback_states_from_checkpoint", True),
    ],
)
def test_an_option_that_no_run_reads(name, value):
    assert f"{name}={value!r} has no effect in a run: " in refused(**{name: value})


def test_settings_that_would_fail_late():
    assert "report_to=['nowhere']" in refused_reports("nowhere")
    assert "lr_scheduler_kwargs={'min_rl': 0.1}" in refused(
        lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={"min_rl": 0.1}
    )
    assert "'min_lr': 'tiny'" in refused(lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={"min_lr": "tiny"})
    assert "save_strategy='best'" in refused(save_strategy="best")


def refused_reports(name):
    args = BandGRPOConfig("out", use_cpu=True, bf16=False, max_steps=2, report_to=name)
    with pytest.raises(ValueError) as caught:
        check_settings(RunArguments(), args)
    return str(caught.value)


def test_a_schedule_with_its_options_is_fine():
    kwargs = {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-7}}
    check_settings(
        RunArguments(), BandGRPOConfig("out", use_cpu=True, bf16=False, report_to="none", max_steps=2, **kwargs)
    )


def test_a_split_of_what_has_none(tmp_path):
    assert "dataset_split='test': dataset='countdown' has no splits" in refused(RunArguments(dataset_split="test"))
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "1"}\n')
    run = RunArguments(dataset=str(rows), dataset_split="test", reward=["a.b"])
    assert "has no splits, expected no split" in refused(run)


@pytest.mark.parametrize(
    ("name", "value"), [("eval_samples", 0), ("eval_batch_size", -1), ("evaluate_every", 10**10), ("threads", 0)]
)
def test_counts_of_a_run(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}: expected at least 1"):
        RunArguments(**{name: value})


def test_a_run_without_a_reward():
    with pytest.raises(ValueError, match="reward="):
        RunArguments(reward=[])
