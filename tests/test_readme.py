"""What the README shows runs as it stands."""

import re
from pathlib import Path

import torch

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_own_loop_example_runs_and_prints_clip_shares(capsys):
    logp_old = torch.log(torch.tensor([[0.01, 0.5, 0.9], [0.2, 0.99, 0.3]]))
    names = {
        "logp_old": logp_old,
        "logp": (logp_old - 0.3).requires_grad_(),
        "advantages": torch.tensor([1.0, -1.0]),
        "mask": torch.ones(2, 3, dtype=torch.bool),
    }
    example = next(block for block in BLOCKS if "bandpo.band(" in block)
    exec(example, names)
    assert "clip_low" in capsys.readouterr().out
    assert names["logp"].grad.abs().sum() > 0


def test_table_of_bounds_is_what_band_gives():
    import bandpo

    rows = re.findall(r"^\| (0\.\d+) \| ([\d.]+) \.\. ([\d.]+) \|", README, re.MULTILINE)
    assert len(rows) == 6
    for p, low, high in rows:
        interval = bandpo.band(torch.tensor([float(p)], dtype=torch.float64).log(), delta=0.05)
        for shown, bound in zip((low, high), interval.ratio(), strict=True):
            digits = len(shown.partition(".")[2])
            assert abs(float(shown) - bound.item()) <= 0.5001 * 10**-digits
