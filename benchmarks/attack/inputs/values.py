"""Values out of an option's range, as flags of `bandpo train`; the message has to name the option."""

from __future__ import annotations

from benchmarks.attack.case import Case
from benchmarks.attack.inputs.common import own_train, small_train

KIND, TYPE, UNKNOWN = "values out of range", "values of another type", "unknown and contradictory options"
_LARGE = str(2**64)
_OUT_OF_RANGE: dict[str, tuple[str, ...]] = {
    "learning_rate": ("nan", "inf", "-1e-4"),
    "temperature": ("0", "-1", "nan", "inf"),
    "top_p": ("0", "-0.1", "1.5", "nan"),
    "beta": ("-1", "nan", "inf"),
    "band_delta": ("0", "-0.05", "nan", "inf"),
    "num_generations": ("0", "1", "-8", "7", "1000000000"),
    "per_device_train_batch_size": ("0", "-16"),
    "steps_per_generation": ("0", "-2"),
    "gradient_accumulation_steps": ("0", "-1"),
    "num_iterations": ("0", "-1"),
    "max_steps": ("0", "-7"),
    "max_completion_length": ("0", "-1", "13", _LARGE),
    "max_grad_norm": ("nan",),
    "weight_decay": ("nan", "inf"),
    "adam_beta1": ("1.5", "nan", "-0.1"),
    "adam_epsilon": ("nan", "-1"),
    "logging_steps": ("0", "-1", "nan"),
    "save_steps": ("0", "-1", "nan"),
    "eval_samples": ("0", "-1"),
    "eval_batch_size": ("0", "-1"),
    "evaluate_every": ("0", "-1"),
    "threads": ("0", "-1", "1000000000", _LARGE),
    "seed": ("-1", _LARGE),
    "epsilon": ("-0.2", "nan"),
    "method_kwargs": (
        '{"max_ratio": 0.5}', '{"max_ratio": NaN}', '{"max_ratio": -1}', '{"dual_clip": 0}', '{"delta": -1}', "{", "[]",
        "7", "null", '{"max_ratio": "ten"}', '{"max_ratio": true}', '{"max_ratio": 10, "max_ratio": 20}',
    ),
}  # fmt: skip
_OTHER_TYPE: dict[str, tuple[str, ...]] = {
    "seed": ("one", "1.5", "", "1e3", "0x10", "١٢٣x"),
    "learning_rate": ("fast", "", "1,5", "1e-4 1e-5", "0x1p-10z"),
    "max_steps": ("many", "2.5", "[2]", "{}"),
    "band_delta": ("small", "5%", "0,05", ""),
    "use_cpu": ("maybe", "2"),
    "reward_weights": ("x", "1 x"),
    "method": ("", "band_kl", "BAND-KL ", "kl", "band-kl,grpo", "[band-kl]", "../grpo", "a" * 100_000),
    "loss_type": ("cispo", "sapo", "none", ""),
    "lr_scheduler_type": ("constantly", ""),
    "report_to": ("nowhere",),
    "optim": ("adam8", ""),
    "model": ("", "no-such-folder/x/y", "./nothing", "~nobody/x", "countdwn", ".", "/", "/dev/null", "a" * 5_000),
    "output_dir": ("", "/dev/null", "/proc/x", "a" * 5_000),
}
_UNKNOWN: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("an unknown flag", small_train("--learning_rat=1"), "learning_rat"),
    ("an unknown flag with a dot", small_train("--actor.lr=1"), "actor.lr"),
    ("a word that belongs nowhere", small_train("extra"), "extra"),
    ("a flag without its value", small_train("--seed"), "seed"),
    ("the radius of TRL's clip", small_train("--delta=0.05"), "band_delta"),
    ("a radius for a method without one", small_train("--method=grpo", "--band_delta=0.05"), "delta"),
    ("two radii", small_train("--band_delta=0.05", '--method_kwargs={"delta": 0.1}'), "delta"),
    (
        "a batch that no group divides",
        small_train("--per_device_train_batch_size=12", "--num_generations=5"),
        "num_generations",
    ),
    ("save_only_model", small_train("--save_only_model=true"), "save_only_model"),
    ("ignore_data_skip", small_train("--ignore_data_skip=true"), "ignore_data_skip"),
    ("no reward for one's own rows", own_train("--dataset=rows.jsonl"), "reward"),
    ("weights for more rewards than there are", small_train("--reward_weights", "1", "2"), "reward_weights"),
    ("bf16 and fp16", small_train("--bf16=true", "--fp16=true"), "fp16"),
    ("vllm that is not installed", small_train("--use_vllm=true"), "vllm"),
    ("deepspeed that is not there", small_train("--deepspeed=none.json"), "deepspeed"),
    ("a checkpoint to resume from", small_train("--resume_from_checkpoint=nowhere"), "resume_from_checkpoint"),
)


def cases() -> list[Case]:
    """One case for every value; flags are given as `--name=value`."""
    found = [
        Case(kind, f"--{name}={value[:40]!r}{'' if len(value) <= 40 else f' ({len(value)} characters)'}",
             small_train(f"--{name}={value}"), says=(name, name.replace("_", "-")))
        for kind, table in ((KIND, _OUT_OF_RANGE), (TYPE, _OTHER_TYPE))
        for name, bad in table.items()
        for value in bad
    ]  # fmt: skip
    rows = {"rows.jsonl": '{"prompt": "3 7 11 2 -> 13"}\n'}
    return found + [Case(UNKNOWN, name, argv, rows, says=(says,)) for name, argv, says in _UNKNOWN]
