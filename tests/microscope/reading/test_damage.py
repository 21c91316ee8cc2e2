"""Damaged files of every format give batches or a sentence, never anything else; large ones fit a bounded memory."""

import json
import shutil
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading.read import read_batches
from tests.microscope.reading.test_formats import SAMPLES

FILES = [path.relative_to(SAMPLES) for path in sorted(SAMPLES.rglob("*")) if path.suffix not in ("", ".py", ".pyc")]


@pytest.mark.parametrize("name", FILES, ids=str)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4))
def test_a_damaged_file_gives_batches_or_a_sentence(tmp_path, name, cut, flips):
    # What lies beside it is read too: annotations, rollouts, calls of the loss.
    folder = tmp_path / name.parts[0]
    if not folder.exists():
        shutil.copytree(SAMPLES / name.parts[0], folder)
    content = bytearray((SAMPLES / name).read_bytes())
    for place, bits in flips:
        content[min(int(place * len(content)), len(content) - 1)] ^= bits
    (tmp_path / name).write_bytes(content[: round((1 - cut) * len(content))] if not flips else content)
    errors = []
    for batch in read_batches([folder, tmp_path / name], on_error=lambda path, error: errors.append(error)):
        assert batch.mask.dim() == 2
    assert all(type(error) is BatchError and "\n" not in str(error) for error in errors)


MEASURED = """
import resource, sys
from bandpo.microscope.reading.read import read_batches
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tokens = sum(batch.tokens for batch in read_batches(sys.argv[1], max_tokens=2**15))
print(tokens, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
def test_a_file_of_lines_is_read_in_bounded_memory(tmp_path):
    line = json.dumps({"logp": [-1.234567] * 1000, "logp_old": [-1.3] * 1000, "token_ids": [7] * 1000})
    place = tmp_path / "a.jsonl"
    place.write_text(f"{line}\n" * 6000)
    assert place.stat().st_size > 100e6
    printed = subprocess.run([sys.executable, "-c", MEASURED, place], check=True, capture_output=True, text=True).stdout
    tokens, mebibytes = map(float, printed.split())
    assert tokens == 6e6 and mebibytes < 40
