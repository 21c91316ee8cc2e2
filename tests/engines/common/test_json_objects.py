"""JSON objects of options: read as they are, refused where something would be lost."""

import pytest

from bandpo.engines.common.json_objects import read_object


@pytest.mark.parametrize(
    ("text", "value"),
    [("{}", {}), ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}), (' {"a": 1, "b": 1} ', {"a": 1, "b": 1})],
)
def test_objects_are_read(text, value):
    assert read_object("x", text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 1}', "'a' a second time"),
        ('{"a": [{"b": {"c": 1, "c": 2}}]}', "'c' a second time"),
        ('{"a": ' * 100_000, "nested too deep"),
        ("[1]", "expected a JSON object"),
        ("7", "expected a JSON object"),
        ("{", "not a JSON object"),
        ("", "not a JSON object"),
        ("{'a': 1}", "not a JSON object"),
    ],
)
def test_what_is_none_is_refused_by_name(text, said):
    with pytest.raises(ValueError, match=r"^x=") as caught:
        read_object("x", text)
    assert said in str(caught.value)
