"""JSON lines as kills and disks leave them, and text that is safe to show."""

import json

import pytest

from bandpo.store.records import parse_object, printable, read_records

DAMAGED = {
    "cut off": b'{"a": ',
    "a list": b"[1]",
    "a number": b"3",
    "null": b"null",
    "NaN": b'{"a": NaN}',
    "not UTF-8": b'{"a": "\xff"}',
    "zeros": bytes(8),
    "two": b"{}{}",
    "deep": b"[" * 100_000,
    "text": b"hello",
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
def test_lines_that_are_no_objects_are_counted_and_the_others_kept(tmp_path, line):
    (tmp_path / "file").write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 2}\n\n' + line + b"\n")
    assert read_records(tmp_path / "file") == ([{"a": 1}, {"a": 2}], [2, 5])


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
def test_a_last_line_without_its_end_was_cut_short(tmp_path, line):
    (tmp_path / "file").write_bytes(b'{"a": 1}\n' + line)
    assert read_records(tmp_path / "file") == ([{"a": 1}], [])


def test_no_file_has_no_lines(tmp_path):
    assert read_records(tmp_path / "file") == ([], [])
    (tmp_path / "file").touch()
    assert read_records(tmp_path / "file") == ([], [])


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_object_is_refused(text):
    with pytest.raises(ValueError, match=r"^(not UTF-8|not JSON|no JSON object)$"):
        parse_object(text)


def test_an_empty_file_is_called_so():
    with pytest.raises(ValueError, match=r"^empty$"):
        parse_object(b" \n")


@pytest.mark.parametrize(
    "text", ["\x1b[31mred", "a\u202eb", "a\nb", "a\rb", "a\u2028b", "\x07", "\u200b", "\x9b2J", "\ud800"], ids=ascii
)
def test_what_steers_a_terminal_is_escaped(text):
    shown = printable(text)
    assert shown.isprintable() and "\\" in shown
    assert printable("π = 3, naïve 漢字 🦊 | *") == "π = 3, naïve 漢字 🦊 | *"
    assert json.dumps(shown)
