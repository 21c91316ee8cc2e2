"""Prompts that a model can be given, and those that it cannot."""

import pytest

from bandpo.data.messages import check_prompt, plain_messages, user_text


def user(content):
    return {"role": "user", "content": content}


def part(text):
    return {"type": "text", "text": text}


CHAT = [{"role": "system", "content": "Think."}, user("1 + 1?")]
CALL = {"role": "assistant", "content": None, "tool_calls": [{"name": "run"}]}


@pytest.mark.parametrize(
    "prompt",
    [
        "1 + 1?", " x ", CHAT, [user([part("1 +"), part(" 1?")])], [user(""), user("1 + 1?")],
        [user("run it"), CALL, {"role": "tool", "content": "2"}], [{**user("1?"), "name": None}],
        [{"role": "user", "content": [{**part("1?"), "image": None}]}],
    ],
)  # fmt: skip
def test_prompts(prompt):
    check_prompt(prompt)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (None, "prompt is missing"),
        ("", "prompt is empty"),
        (" \n\t", "prompt is empty"),
        (7, "prompt is an int, 7: expected text or chat messages"),
        (0.5, "prompt is a float"),
        (True, "prompt is a bool"),
        ({"role": "user"}, "prompt is a dict"),
        (b"x", "prompt is a bytes"),
        ([], "an empty list of messages"),
        (["1 + 1?"], "message 0 of the prompt is a str"),
        ([None], "message 0 of the prompt is a NoneType"),
        ([user("1?"), ["x"]], "message 1 of the prompt is a list"),
        ([{"content": "1?"}], "message 0 of the prompt has no role"),
        ([{"role": 1, "content": "1?"}], "has no role"),
        ([{"from": "user", "value": "1?"}], "has no role"),
        ([user(None)], "message 0 of the prompt has no content"),
        ([user(7)], "message 0 of the prompt's content is an int, 7"),
        ([user({"text": "1?"})], "content is a dict"),
        ([user("")], "without a word"),
        ([user(" "), {"role": "assistant", "content": "\n"}], "without a word"),
        ([user([])], "without a word"),
        ([user([part("")])], "without a word"),
        ([user([{"type": "image", "image": "a.png"}, part("?")])], "a part that is no text, a dict, {'type': 'image'"),
        ([user(["1?"])], "a part that is no text, a str"),
        ([user([{"type": "text", "text": None}])], "a part that is no text"),
    ],
)
def test_what_is_no_prompt(prompt, said):
    with pytest.raises(ValueError) as caught:
        check_prompt(prompt)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_parts_are_joined():
    call = [user([part("a"), part("b")]), CALL, {"role": "tool", "content": "c"}]
    assert plain_messages(call) == [user("ab"), CALL, {"role": "tool", "content": "c"}]
    for same in ("text", CHAT):
        assert plain_messages(same) is same


def test_what_the_user_said_last():
    assert user_text("1?") == user_text([user("0?"), user("1?"), {"role": "assistant", "content": "2"}]) == "1?"
    assert user_text([user([part("1"), part("?")])]) == "1?"
    assert user_text([{"role": "system", "content": "1?"}]) == ""
