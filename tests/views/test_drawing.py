"""Pictures are written in every format, with a curve and a label for every method, none over another."""

import itertools

import matplotlib.image
import pytest
from matplotlib.text import Text

from bandpo.views.drawing import _apart, _figure, draw_bounds

CURVES = [(name, name, {}) for name in ("band-kl", "grpo", "dcpo", "atr-grpo", "dppo-tv", "clip-higher", "band-mirror")]
NAMES = [label for label, _, _ in CURVES]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_every_format_is_written(tmp_path, suffix):
    path = draw_bounds(CURVES[:2], tmp_path / f"bounds{suffix}")
    assert path.stat().st_size > 5000


def test_a_picture_is_wide_enough_to_read(tmp_path):
    height, width, _ = matplotlib.image.imread(draw_bounds(CURVES, tmp_path / "b.png")).shape
    assert width > 1500 and height > 700


def test_labels_lie_apart_and_inside_the_picture():
    figure = _figure(CURVES)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in figure.axes[1].texts if text.get_text() in NAMES]
    assert len(boxes) == len(CURVES)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert not any(box.overlaps(figure.axes[0].get_window_extent()) for box in boxes)


def test_labels_of_equal_bounds_are_moved_apart_around_them():
    places = _apart([1.0, 1.0, 1.0, 300.0], gap=0.05)
    assert [round(place, 3) for place in places[:3]] == [0.45, 0.5, 0.55] and places[3] > 0.9
    assert all(0 <= place <= 1 for place in _apart([400.0] * 5))


def test_another_suffix_too_many_methods_and_no_bounds_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"b\.gif.*\.png"):
        draw_bounds(CURVES, tmp_path / "b.gif")
    with pytest.raises(ValueError, match="9 methods in one picture: expected 8"):
        draw_bounds([*CURVES, *CURVES[:2]], tmp_path / "b.png")
    with pytest.raises(ValueError, match="cispo"):
        draw_bounds([("cispo", "cispo", {})], tmp_path / "b.png")
    assert not list(tmp_path.iterdir())


def test_the_probabilities_asked_for_are_marked():
    figure = _figure(CURVES[:2], marked=[0.01, 0.5, 1e-9])
    for axis in figure.axes:
        for line in axis.lines:
            if line.get_marker() not in ("None", None, ""):
                x = line.get_xdata()
                assert [round(float(x[at]), 6) for at in line.get_markevery()] == [0.01, 0.5]
