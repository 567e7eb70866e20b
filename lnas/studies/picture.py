"""A study in one picture: the test score of every cell, one line per method."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lnas.files import replacing
from lnas.studies.results import Result
from lnas.studies.summary import Row

BLUE, RED, GREY = "#3b6ea5", "#c0504d", "#8c8c8c"


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
    figure = Figure(figsize=(7.2, 1.6 + 0.42 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if baseline is not None:
        mean, spread = scale * baseline.score, scale * baseline.std_search
        axes.axvline(mean, color=GREY, linewidth=1, zorder=0)
        if not math.isnan(spread):
            end = min(mean + spread, 100) if measure.percent else mean + spread
            axes.axvspan(mean - spread, end, color=GREY, alpha=0.15, zorder=0)
    for height, row in enumerate(rows):
        values = [scale * one.score for one in results if one.method == row.method]
        axes.plot(values, [height] * len(values), "o", color=BLUE, alpha=0.5, markersize=5)
        spread = 0.0 if math.isnan(row.std_search) else scale * row.std_search
        axes.errorbar(
            scale * row.score, height, xerr=spread, fmt="|", color=RED, markersize=14, capsize=3
        )
    axes.set_yticks(range(len(rows)), [row.method for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    grey = "\ngrey: random choice, the same" if baseline is not None else ""
    unit = " (%)" if measure.percent else ""
    title = f"test {measure.name}{unit}"
    axes.set_xlabel(f"{title}\nred: mean and standard deviation over searches{grey}")
    axes.grid(axis="x", alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
