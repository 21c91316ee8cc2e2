"""Which names are mistakes, and what was meant."""

import pytest

from bandpo.engines.common.findings import names_findings
from bandpo.engines.common.names import did_you_mean, is_group, misspelt
from bandpo.engines.common.options import WrittenOptions

KNOWN = ["top.actor.lr", "top.actor.ppo_epochs", "top.critic.ppo_epochs", "method", "band_delta", "clip_ratio_low"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("band_detla", "band_delta"),
        ("delta", "band_delta"),
        ("mehtod", "method"),
        ("top.actor.ppo_epoch", "top.actor.ppo_epochs"),
        ("top.critic.ppo_epoch", "top.critic.ppo_epochs"),
        ("critic.ppo_epochs", "top.critic.ppo_epochs"),
        ("ref.ppo_epochs", None),
        ("unrelated", None),
        ("method", None),
    ],
)
def test_the_nearest_name_of_the_same_place(name, meant):
    assert did_you_mean(name, KNOWN) == meant


@pytest.mark.parametrize("name", ["clip_ratio", "seed", "ref.ppo_epoch", "lr_scheduler", "top.actor", "top.actor.lr.x"])
def test_what_another_may_read_is_no_mistake(name):
    assert misspelt([name], KNOWN) == {}


def test_groups():
    assert is_group("top", KNOWN) and is_group("method.x", KNOWN) and not is_group("to", KNOWN)


def test_findings_of_a_complete_list_and_of_one_that_is_not():
    options = WrittenOptions({"methd": 1, "seed": 2, "method": 3}, added=["seed"])
    assert options == {"methd": 1, "seed": 2, "method": 3} and options.added == {"seed"}
    complete = names_findings("X", options, KNOWN, is_complete=True)
    assert [(one.level, one.advice) for one in complete] == [("fail", "did you mean method?"), ("fail", "")]
    assert [one.level for one in names_findings("X", options, KNOWN)] == ["fail", "ok"]
    assert names_findings("X", {"method": 3}, KNOWN) == []
