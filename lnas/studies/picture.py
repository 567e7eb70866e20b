"""A study in one picture: the test accuracy of every run, one line per method."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lnas.files import replacing
from lnas.studies.table import Result, summarise


def accuracy_picture(results: Sequence[Result], path: Path) -> None:
    """Draw one dot per run and a bar at each method's mean, in percent of test accuracy."""
    rows = summarise(results)
    figure = Figure(figsize=(6.4, 1.2 + 0.5 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for height, row in enumerate(rows):
        values = [100 * result.accuracy for result in results if result.method == row.method]
        axes.plot(values, [height] * len(values), "o", color="#3b6ea5", alpha=0.7)
        axes.plot([100 * row.accuracy] * 2, [height - 0.3, height + 0.3], color="#c0504d")
    axes.set_yticks(range(len(rows)), [row.method for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("test accuracy (%); the bar is the mean")
    axes.grid(axis="x", alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
