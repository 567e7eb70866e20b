"""The picture of criteria side by side shows every child, and the supernet."""

import pytest

from lnas.errors import InputError
from lnas.visualize import criteria_figure, draw_criteria

SUPERNET = {"loss": 1.5, "accuracy": 0.5}
CHILDREN = [
    ("magnitude", {"loss": 2.25, "accuracy": 0.125}, 101306, 1.0),
    ("mask:criterion=accuracy", {"loss": 2.0, "accuracy": 0.25}, 559386, 0.375),
]


def test_bars_are_the_children_and_the_dashed_line_the_supernet():
    figure = criteria_figure(SUPERNET, CHILDREN)
    for axes, name in zip(figure.axes, SUPERNET, strict=True):
        found = [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in axes.patches]
        wanted = [(row, one[1][name]) for row, one in enumerate(CHILDREN)]
        assert found == [pytest.approx(pair) for pair in wanted]
        assert axes.lines[0].get_xdata() == [SUPERNET[name]] * 2
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    second = "mask:criterion=accuracy\n559,386 parameters\n38% of edges as magnitude"
    assert names == ["magnitude\n101,306 parameters", second]


def test_it_is_written_as_png_and_svg_only(tmp_path):
    for suffix in (".png", ".svg"):
        draw_criteria(SUPERNET, CHILDREN, tmp_path / f"criteria{suffix}")
        assert (tmp_path / f"criteria{suffix}").stat().st_size > 1000
    with pytest.raises(InputError, match="pictures are"):
        draw_criteria(SUPERNET, CHILDREN, tmp_path / "criteria.txt")
