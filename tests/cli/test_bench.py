"""`bandpo bench`: what it refuses, and its help."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sizes", "many"], ["--sizes 'many'", "such as 1e6"]),
        (["--device", "tpu"], ["device='tpu'", "expected 'cpu'"]),
        (["--threads", "0"], ["threads=0", "positive"]),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_two(tmp_path, bandpo_here, arguments, words):
    done = bandpo_here(["bench", *arguments], tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_help_has_an_example_and_fits_a_screen(tmp_path, bandpo_here):
    done = bandpo_here(["bench", "--help"], tmp_path)
    assert "Example:  bandpo bench --sizes 1e4,1e6" in done.stdout
    assert done.stdout.count("\n") <= 40
