"""`bandpo inspect` and `bandpo doctor --batch` as typed."""

import json

import pytest
import torch
from typer.testing import CliRunner

from bandpo.cli.app import app
from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.file import as_bytes


@pytest.fixture
def folder(tmp_path):
    generator = torch.Generator().manual_seed(0)
    logp_old = -torch.rand(20, 30, generator=generator) * 4 - 0.01
    logp = (logp_old + 0.5 * torch.randn(20, 30, generator=generator)).clamp_max(-1e-3)
    ones = torch.ones(20, 30)
    seen = TokenBatch(mask=ones != 0, logp=logp, logp_old=logp_old, advantages=ones, settings={"method": "band-kl"})
    (tmp_path / "step_00000.safetensors").write_bytes(as_bytes(seen))
    return tmp_path


def typed(*words, width="100"):
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": width})


def test_the_verdict_comes_first(folder):
    result = typed("inspect", folder)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and lines[0].startswith("600 tokens of 20 sequences in 1 files")
    assert "The region (band-kl) acts on" in lines[1]
    for title in ("By old probability", "By side", "Radii of band-kl", "Methods on 600"):
        assert title in result.stdout


def test_json_holds_everything(folder):
    found = json.loads(typed("inspect", folder, "--json").stdout)
    assert found["schema"] == "bandpo inspection" and found["total"]["tokens"] == 600


def test_another_method_and_share(folder):
    result = typed("inspect", folder, "--method", "grpo:eps_high=0.3", "--target", "0.1")
    assert "The region (grpo:eps_high=0.3)" in result.stdout and "stop 10 %" in result.stdout


def test_a_table_with_columns_of_its_own(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"n": [-0.5, -1.0], "o": [-0.6, -1.0], "a": 1.0}\n')
    result = typed("inspect", tmp_path / "a.jsonl", "--columns", "logp=n,logp_old=o,advantages=a")
    assert result.exit_code == 0 and "2 tokens of 1 sequences" in result.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nowhere",), "nowhere"),
        (("--target", "2"), "target=2"),
        (("--method", "bandkl"), "band-kl"),
        (("--method", "grpo,band-kl"), "expected one method"),
        (("--columns", "logp"), "expected OURS=THEIRS"),
    ],
)
def test_mistakes_end_in_a_sentence(folder, words, says):
    result = typed("inspect", *([] if words == ("nowhere",) else [folder]), *words)
    assert result.exit_code == 2 and says in result.output and "Traceback" not in result.output


def test_a_bad_file_is_named_and_the_others_are_read(folder):
    (folder / "step_00001.safetensors").write_bytes(b"{")
    result = typed("inspect", folder)
    assert result.exit_code == 0 and "left out" in result.output and "step_00001" in result.output


def test_the_doctor_reads_a_batch(folder):
    result = typed("doctor", "--batch", folder)
    assert result.exit_code == 0 and "acts on" in " ".join(result.stdout.split())


def test_the_doctor_says_where_no_ratio_leaves_one(tmp_path):
    logp = torch.full((4, 8), -1.0)
    seen = TokenBatch(mask=logp < 0, logp=logp, logp_old=logp, advantages=torch.ones(4, 8))
    (tmp_path / "a.safetensors").write_bytes(as_bytes(seen))
    result = typed("doctor", "--batch", tmp_path / "a.safetensors")
    assert result.exit_code == 1 and "cannot act" in " ".join(result.stdout.split())
