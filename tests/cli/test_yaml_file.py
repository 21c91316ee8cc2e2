"""YAML files: what stands there is what is read, and what could hang or overflow is refused at once."""

import time

import pytest

from bandpo.cli.yaml_file import Word, plain, read_mapping, untyped


def read(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    return read_mapping(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-7", 1e-7),
        ("1E5", 1e5),
        ("+2.5e+1", 25.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("012", 12),
        ("-007", -7),
        ("1_000", 1000),
        ("1_000.5", 1000.5),
        ("0x1F", 31),
        ("0o17", 15),
        ("12:30:00", "12:30:00"),
        ("2026-01-02", "2026-01-02"),
        ("no", False),
        ("Off", False),
        ("YES", True),
        ("true", True),
        ("nO", "nO"),
        ("y", "y"),
        ("null", None),
        ("~", None),
        ("", None),
        ("none", "none"),
        (".inf", float("inf")),
        ("-.INF", -float("inf")),
        ("'no'", "no"),
        ('"1e-7"', "1e-7"),
        ("1.2.3", "1.2.3"),
        ("1e", "1e"),
    ],
)
def test_words_at_depth(tmp_path, text, value):
    found = untyped(read(tmp_path, f"a: {{b: [{text}]}}\n") if text else read(tmp_path, "a:\n  b:\n  - \n"))
    assert found == {"a": {"b": [value]}} and type(found["a"]["b"][0]) is type(value)


def test_words_are_kept_as_they_stand(tmp_path):
    found = read(tmp_path, "a: 012\nb: 'no'\nc: no\n")
    assert found == {"a": "012", "b": "no", "c": "no"}
    assert [isinstance(value, Word) for value in found.values()] == [True, False, True]
    assert plain(found) == {"a": 12, "b": "no", "c": "no"}


def test_aliases_and_merges_are_read(tmp_path):
    found = read(tmp_path, "a: &x {p: 1, q: 2}\nb: *x\nc: {<<: *x, q: 3}\n")
    assert found["b"] == {"p": "1", "q": "2"} and found["c"] == {"p": "1", "q": "3"}


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BOMB, "more than 10,000 values"),
        ("a: &x [*x]\n", "more than 20 levels"),
        ("a: &x {b: *x}\n", "more than 20 levels"),
        ("a: " + "[" * 20_000 + "]" * 20_000, "nests more than 20 deep"),
        ("a: " + "{b: " * 20_000, "nests more than 20 deep"),
        ("\n".join(" " * n + f"k{n}:" for n in range(300)), "nests more than 20 deep"),
        ("a: " + "x" * 300_000, "expected a short file"),
        ("a: 1\na: 2\n", "'a' a second time"),
        ("a: !!python/object:os.system {}\n", "has the tag"),
        ("a: !!binary aGk=\n", "has the tag"),
        ("[1, 2]: 3\n", "expected a name before the colon"),
        ("a: 1\n---\nb: 2\n", "not YAML"),
        ("<<: 3\n", "expected << to name a mapping"),
        ("- a\n", "expected lines of the form"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_refused_is_refused_fast(tmp_path, text, expected):
    started = time.monotonic()
    with pytest.raises(ValueError, match=expected.replace("(", r"\(")) as caught:
        read(tmp_path, text)
    assert time.monotonic() - started < 5 and len(str(caught.value)) < 1000
