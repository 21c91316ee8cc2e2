"""Curves that differ by colour, dash and marker at once, with labelled axes and one legend."""

from bandpo.views.style import COLOURS, curve_figure, line_style

CURVE = {"step": [0, 1, 2], "entropy": [0.5, 0.4, 0.3], "entropy se": [0.1, 0.1, 0.1]}


def test_every_curve_differs_in_all_three():
    for key in ("color", "linestyle", "marker"):
        assert len({str(line_style(number)[key]) for number in range(len(COLOURS))}) == len(COLOURS)


def test_panels_are_labelled_and_share_a_legend():
    curves = {f"m{number}": CURVE for number in range(3)}
    figure = curve_figure(curves, ["entropy", "entropy"], "± standard error", labels={"entropy": "nats"})
    assert [axis.get_ylabel() for axis in figure.axes] == ["nats", "nats"]
    assert all(axis.get_xlabel() == "updates" and axis.get_legend() is None for axis in figure.axes)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(curves)
