"""Bad engine options for `bandpo doctor`: unknown names, values no engine takes, files that are no options."""

from __future__ import annotations

from benchmarks.attack.case import Case
from benchmarks.attack.inputs.common import NESTED

KIND = "engine options for `doctor`"
_ACTOR = "actor_rollout_ref.actor"
_VERL = (
    f"{_ACTOR}.policy_loss.loss_mode=bandpo",
    f"{_ACTOR}.policy_loss._target_=bandpo.engines.verl.BandPolicyLossConfig",
    f"{_ACTOR}.ppo_epochs=2",
)
_TRL = ("--num-iterations", "2", "--method", "band-kl")
_CASES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("vrel",), "vrel"), (("",), "engine"), (("trl", "method"), "method"), (("trl", "none.yaml"), "none.yaml"),
    (("trl", "a=[1"), "a"), (("trl", "a={"), "a"), (("trl", *_TRL, "=1"), "=1"),
    (("trl", *_TRL, "band_detla=0.05"), "band_detla"), (("trl", *_TRL, "--num-iteration", "1"), "num_iteration"),
    (("trl", *_TRL, "--band-delta", "-1"), "delta"), (("trl", *_TRL, "--band-delta", "nan"), "delta"),
    (("trl", *_TRL, "--band-delta", "x"), "delta"), (("trl", *_TRL, "--band-delta", "[1]"), "delta"),
    (("trl", *_TRL, "--delta", "0.05"), "delta"), (("trl", "--num-iterations", "many"), "num_iterations"),
    (("trl", "--num-iterations", "0"), "num_iterations"), (("trl", "--num-iterations", "{a: 1}"), "num_iterations"),
    (("trl", *_TRL, "--method-kwargs", "7"), "method_kwargs"),
    (("trl", *_TRL, "--method-kwargs", "{max_ratoi: 1}"), "max_ratoi"),
    (("trl", "--method", "nothing"), "nothing"), (("trl", "--method", "[band-kl]"), "method"),
    (("trl", "--loss-type", "cispo", *_TRL), "loss_type"), (("trl", *_TRL, "--learning-rate", "fast"), "learning_rate"),
    (("verl", *_VERL, f"+{_ACTOR}.policy_loss.band_detla=0.05"), "band_detla"),
    (("verl", *_VERL, f"{_ACTOR}.ppo_mini_batchsize=4"), "ppo_mini_batchsize"),
    (("verl", *_VERL, f"+{_ACTOR}.policy_loss.band_delta=-1"), "delta"),
    (("verl", *_VERL, f"+{_ACTOR}.policy_loss.band_delta=x"), "delta"),
    (("verl", *_VERL, f"+{_ACTOR}.policy_loss.method=nothing"), "nothing"),
    (("verl", *_VERL, f"+{_ACTOR}.policy_loss.method_kwargs=7"), "method_kwargs"),
    (("verl", *_VERL, f"+{_ACTOR}.policy_loss.anchor=new"), "anchor"),
    (("verl", *_VERL, f"{_ACTOR}.clip_ratio_high=0.28"), "clip_ratio_high"),
    (("verl", *_VERL, "data.train_batch_size=many"), "train_batch_size"),
    (("verl", *_VERL, f"{_ACTOR}.ppo_epochs=many"), "ppo_epochs"),
    (("verl", *_VERL, f"{_ACTOR}.ppo_epochs=-1"), "ppo_epochs"),
    (("verl", *_VERL, f"{_ACTOR}.ppo_mini_batch_size=0"), "ppo_mini_batch_size"),
    (("verl", *_VERL, f"{_ACTOR}=7"), "actor"), (("verl", *_VERL, "actor_rollout_ref=[1]"), "actor_rollout_ref"),
    (("skyrl", "trainer.algorithm.policy_loss_type=nothing"), "nothing"),
)  # fmt: skip
_DEEP = "[" * 5_000 + "]" * 5_000
_FILES: tuple[tuple[str, str | bytes], ...] = (
    ("a.yaml", "- 1\n"), ("a.yaml", "word\n"), ("a.yaml", ""), ("a.yaml", "a: [\n"), ("a.yaml", b"a: \xff\xfe\n"),
    ("a.yaml", "x: &x [*x]\n"), ("a.yaml", "x: " + _DEEP + "\n"), ("a.yaml", "x: &x {y: *x}\n"),
    ("a.yaml", f"method: {NESTED}\n"),
    ("a.json", ""), ("a.json", "[1]"), ("a.json", "{"), ("a.json", _DEEP),
    ("a.json", '{"a": ' * 5_000 + "1" + "}" * 5_000),
    ("a.json", '{"method": NaN}'), ("a.toml", "a = \n"), ("a.toml", "= 1\n"), ("a.toml", b"\xff"), ("a.toml", "[a\n"),
    ("a.yaml", "method: band-kl\nmethod: grpo\nnum_iterations: 2\n"), ("a.yaml", "method: !!python/name:os.system\n"),
)  # fmt: skip


def cases() -> list[Case]:
    """Words and files; a finding that names the option counts as a refusal where the exit code is not 0."""
    found = [
        Case(
            KIND,
            f"doctor {' '.join(dict.fromkeys([words[0], *words[-2:]]))}",
            ("doctor", *words),
            says=(says,) if says else (),
        )
        for words, says in _CASES
    ]
    for number, (file, content) in enumerate(_FILES):
        name = f"doctor trl {file} {number}: {content[:30]!r}"
        found.append(Case(KIND, name, ("doctor", "trl", file), {file: content}, says=(file, "method", "a:", "x")))
    return found
