"""Which words of a conversation are graded."""

import pytest

from bandpo.rewards import math_reward
from bandpo.rewards.messages import completion_text, content_text

RIGHT, WRONG = r"It is \boxed{4}", r"It is \boxed{5}"


def said(role, content):
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("four", "four"),
        ("", ""),
        ([], ""),
        ([said("assistant", "four")], "four"),
        ([said("assistant", "four"), said("tool", "five")], "four"),
        ([said("assistant", "four"), said("tool", "five"), said("user", "six")], "four"),
        ([said("assistant", "four"), said("user", "sure?"), said("assistant", "five")], "five"),
        ([said("user", "four")], ""),
        ([said("tool", "four"), said("system", "five")], ""),
        ([said("assistant", "four"), {"role": "assistant", "tool_calls": [{"name": "run"}]}], ""),
        ([said("assistant", "four"), said("assistant", None)], ""),
        ([{"content": "four"}], "four"),
        ([said(None, "four")], "four"),
        ([{"content": "four"}, {"content": "five"}], ""),
        ([said("assistant", "four"), {"content": "five"}], "four"),
        ([said("assistant", [{"type": "text", "text": "fo"}, {"type": "text", "text": "ur"}])], "four"),
        ([said("assistant", [{"type": "image", "text": None}, {"type": "text", "text": "four"}])], "four"),
        ([said("assistant", [{"type": "thinking", "text": "five"}, {"type": "text", "text": "four"}])], "four"),
        ([said("assistant", [{"type": "image", "url": "5"}])], ""),
        ([said("assistant", [])], ""),
        ([said("assistant", ["fo", {"text": "ur"}])], "four"),
    ],
)
def test_the_assistants_last_message_is_the_answer(completion, text):
    assert completion_text(completion) == text


@pytest.mark.parametrize(
    "completion", [3, None, {"role": "assistant"}, ["four"], [["four"]], (said("assistant", "4"),)]
)
def test_other_kinds_are_an_error(completion):
    with pytest.raises(TypeError, match="expected text or chat messages"):
        completion_text(completion)


@pytest.mark.parametrize("content", [4, 4.0, True, {"text": "four"}])
def test_content_of_another_kind_is_an_error(content):
    with pytest.raises(TypeError, match="expected text or a list of parts"):
        content_text(content)


def test_the_environments_words_earn_nothing():
    paid = [said("assistant", RIGHT), said("tool", WRONG)]
    unpaid = [said("assistant", "I give up"), said("tool", RIGHT)], [said("user", RIGHT)], [said("tool", RIGHT)]
    assert math_reward([paid, *unpaid], answer=["4"] * 4) == [1.0, 0.0, 0.0, 0.0]
