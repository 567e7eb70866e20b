"""A study in one picture: the test score of every cell, one line per method."""

import math
from collections.abc import Sequence
from pathlib import Path

from lnas.studies.results import Result
from lnas.studies.summary import Row
from lnas.visualize.figure import new_figure, plain_axes, save_figure
from lnas.visualize.palette import INK, QUIET, SEPARABLE

APART = 0.1  # between the dots of one method, in rows: equal scores stay visible


def score_picture(
    results: Sequence[Result], rows: Sequence[Row], baseline: Row | None, path: Path
) -> None:
    """Draw a dot per training, the mean and standard deviation of each method, and the baseline.

    Args:
        results: All results.
        rows: One row per method, from top to bottom.
        baseline: Random choice, drawn as a line with a band of one standard deviation.
        path: The PNG file.
    """
    measure = rows[0].measure
    scale = measure.scale
    figure = new_figure(8, 1.5 + 0.42 * len(rows), layout="constrained")
    axes = figure.add_subplot()
    plain_axes(axes)
    for height, row in enumerate(rows):
        values = sorted(scale * one.score for one in results if one.method == row.method)
        places = [height + APART * (index - (len(values) - 1) / 2) for index in range(len(values))]
        label = "a training" if height == 0 else None
        colour = SEPARABLE.colour
        axes.plot(values, places, "o", color=colour, alpha=0.75, markeredgewidth=0, label=label)
        spread = 0.0 if math.isnan(row.std_search) else scale * row.std_search
        label = "mean ± standard deviation over searches" if height == 0 else None
        axes.errorbar(
            scale * row.score, height, xerr=spread, fmt="|", color=INK, markersize=15, label=label
        )
    if baseline is not None:
        mean, spread = scale * baseline.score, scale * baseline.std_search
        axes.axvline(mean, color=QUIET, linewidth=1, zorder=0, label="random choice, the same")
        if not math.isnan(spread):
            end = min(mean + spread, 100) if measure.percent else mean + spread
            axes.axvspan(mean - spread, end, color=QUIET, alpha=0.15, linewidth=0, zorder=0)
    axes.set_yticks(range(len(rows)), [row.method for row in rows], size=9, color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    unit = " (%)" if measure.percent else ""
    axes.set_xlabel(f"test {measure.name}{unit}", size=9, color=INK)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8, labelcolor=INK)
    save_figure(figure, path)
