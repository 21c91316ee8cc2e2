"""Sources by name: what is found where, and one line that says what was wrong."""

import json
import shutil
import sys

import pytest

from bandpo.store.sources import model_source, reward_source
from bandpo.tasks import countdown


def test_the_task_is_a_model(here):
    source, tokenizer = model_source("countdown")
    assert source == str(countdown.policy_path())
    assert len(tokenizer) == 104 and tokenizer.padding_side == "left"


@pytest.mark.parametrize("name", ["{here}/mine", "mine", "./mine", "a/mine"])
def test_a_folder_is_a_model(here, name):
    shutil.copytree(countdown.policy_path(), here / ("a/mine" if name == "a/mine" else "mine"))
    source, tokenizer = model_source(name.format(here=here))
    assert (here / source / "config.json").is_file() and len(tokenizer) == 104


def test_a_tokenizer_without_padding_pads_with_its_end(here):
    shutil.copytree(countdown.policy_path(), here / "mine")
    path = here / "mine" / "tokenizer_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "pad_token"}))
    assert model_source("mine")[1].pad_token == "<end>"


@pytest.mark.parametrize("name", ["./absent", "/absent", "~/absent", "a/b/absent"])
def test_an_absent_folder(here, name, one_line):
    assert f"model={name!r}: no such folder" in one_line(model_source, name)


@pytest.mark.parametrize("name", ["absent", "someone/absent"])
def test_a_hub_model_without_a_connection(here, name, one_line):
    assert f"model={name!r}: not loaded" in one_line(model_source, name)


@pytest.mark.parametrize("content", [{}, {"config.json": "{}"}, {"notes.txt": "mine"}])
def test_a_folder_that_is_no_model(here, content, one_line):
    (here / "mine").mkdir()
    for name, text in content.items():
        (here / "mine" / name).write_text(text)
    assert "model='mine': no model and tokenizer in this folder" in one_line(model_source, "mine")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("countdown", "countdown is an embedded task"), ("mine", "mine is a folder"), ("someone/absent", "not loaded")],
)
def test_a_revision_is_of_the_hub(here, name, expected, one_line):
    (here / "mine").mkdir()
    text = one_line(model_source, name, "main")
    assert text.startswith(f"model={name!r}, revision='main': ") and expected in text


def test_a_reward_in_the_current_folder(here):
    sys.modules.pop("my_rewards", None)
    (here / "my_rewards.py").write_text("def fn(completions, **_):\n    return [1.0] * len(completions)\n")
    assert reward_source("my_rewards.fn")(completions=["a", "b"]) == [1.0, 1.0]
    assert reward_source("bandpo.tasks.countdown.reward") is countdown.reward


@pytest.mark.parametrize(
    ("dotted", "expected"),
    [
        ("absent_module.fn", "No module named 'absent_module'"),
        ("bandpo.tasks.countdown.absent", "absent"),
        ("fn", "Empty module name"),
        ("", "Empty module name"),
        ("bandpo.tasks.countdown.END", "is a str: expected a function"),
    ],
)
def test_a_reward_that_is_none(here, dotted, expected, one_line):
    text = one_line(reward_source, dotted)
    assert text.startswith(f"reward={dotted!r}") and expected in text


def test_an_error_inside_the_users_module_keeps_its_traceback(here):
    (here / "my_broken.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        reward_source("my_broken.fn")
