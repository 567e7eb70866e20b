"""Pictures of several seeds show every seed and the mean of each method."""

import pandas as pd
import pytest

from lnas.errors import InputError
from lnas.visualize import seed_dots, seed_lines
from lnas.visualize.figure import new_figure

COLOURS = {"b": "#0072B2", "a": "#D55E00"}
ROWS = [
    {"method": method, "seed": seed, "epoch": epoch, "loss": 10.0 * seed + epoch + offset}
    for method, offset in (("a", 0.0), ("b", 0.5))
    for seed in (2, 1)
    for epoch in (0, 1, 2)
]


@pytest.fixture
def axes():
    return new_figure(4, 3).subplots()


def test_a_line_for_each_seed_and_a_thick_one_for_the_mean(axes):
    seed_lines(axes, pd.DataFrame(ROWS), "loss", COLOURS)
    thick = max(line.get_linewidth() for line in axes.lines)
    means = {
        line.get_label(): list(line.get_ydata())
        for line in axes.lines
        if line.get_linewidth() == thick
    }
    assert means == {"b": [15.5, 16.5, 17.5], "a": [15.0, 16.0, 17.0]}
    thin = [line for line in axes.lines if line.get_linewidth() < thick]
    assert [list(line.get_ydata()) for line in thin if line.get_color() == COLOURS["a"]] == [
        [10.0, 11.0, 12.0],
        [20.0, 21.0, 22.0],
    ]
    assert all(list(line.get_xdata()) == [1, 2, 3] for line in axes.lines)
    assert axes.get_xlabel() == "epoch"


def test_another_axis_keeps_its_own_numbers(axes):
    rows = pd.DataFrame(ROWS).rename(columns={"epoch": "step"})
    seed_lines(axes, rows, "loss", COLOURS, x="step")
    assert all(list(line.get_xdata()) == [0, 1, 2] for line in axes.lines)


def test_a_dot_for_each_seed_beside_the_mean(axes):
    last = pd.DataFrame(ROWS).query("epoch == 2")
    seed_dots(axes, last, "loss", COLOURS)
    dots, mean = axes.lines[:2]
    assert list(dots.get_xdata()) == [12.5, 22.5]  # by seed
    assert len(set(dots.get_ydata())) == 2
    assert list(mean.get_xdata()) == [17.5, 17.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]
    assert axes.yaxis_inverted()


@pytest.mark.parametrize("draw", [seed_lines, seed_dots])
def test_a_method_without_values_is_refused_by_its_name(axes, draw):
    rows = pd.DataFrame(ROWS)
    with pytest.raises(InputError, match="'c' has no 'loss' to draw; the table's methods are 'a'"):
        draw(axes, rows, "loss", {"c": "#000000"})
