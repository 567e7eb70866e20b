"""The search at a glance: its measure, entropy of the architecture, skip connections by epoch.

The child is the derived cell, run with the supernet's weights: its distance from the supernet is
the discretisation gap. Entropy says how decided the search is; many skips are a collapse.
"""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lnas.tasks import ACCURACY, Measure
from lnas.visualize.figure import count_epochs, new_figure, plain_axes, save_figure
from lnas.visualize.palette import CONVOLUTION, DILATED, INK, QUIET, SEPARABLE, TITLES

CELLS = (SEPARABLE.colour, CONVOLUTION.colour)


def draw_glance(metrics: pd.DataFrame, path: str | Path, measure: Measure = ACCURACY) -> None:
    """Draw the search of a `metrics.csv` into a PNG or SVG file.

    Args:
        metrics: The rows of `metrics.csv`; what was not logged is left out of the picture.
        path: Ends in `.png` or `.svg`.
        measure: What networks are compared by.

    Raises:
        InputError: Another suffix, or a folder that cannot be written.
    """
    save_figure(glance_figure(metrics, measure), path)


def glance_figure(metrics: pd.DataFrame, measure: Measure = ACCURACY) -> Figure:
    """Return the picture that `draw_glance` writes."""
    epochs = _by_epoch(metrics)
    figure = new_figure(12, 3.4)
    compared, entropy, skips = figure.subplots(1, 3)
    figure.subplots_adjust(left=0.06, right=0.985, bottom=0.17, top=0.86, wspace=0.22)
    titles = (measure.name, "entropy of an edge (nats)", "skip connections")
    for axes, title in zip((compared, entropy, skips), titles, strict=True):
        plain_axes(axes)
        count_epochs(axes)
        axes.set_title(title, size=11, weight="bold", color=INK, loc="left")
        axes.set_xlabel("epoch", size=9, color=INK)
    training = epochs.get(f"search/{measure.name}_weights")
    _line(compared, training, "weights' stream", QUIET)
    supernet, child = (epochs.get(f"search/{of}_{measure.name}") for of in ("held_out", "child"))
    _line(compared, supernet, "supernet, held out", SEPARABLE.colour)
    _line(compared, child, "derived child, held out", DILATED.colour)
    for axes, what in ((entropy, "entropy"), (skips, "skips")):
        names = [c for c in epochs.columns if c.startswith("arch/") and c.endswith(f"/{what}")]
        for name, colour in zip(names, CELLS, strict=False):
            cell_type = name.split("/")[1]
            _line(axes, epochs[name], TITLES.get(cell_type, cell_type), colour)
        axes.set_ylim(0, 1.08 * max([1.0, *(epochs[name].max() for name in names)]))
    skips.yaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (compared, entropy, skips):
        if axes.lines:
            axes.legend(frameon=False, fontsize=8.5)
        else:
            axes.text(0.5, 0.5, "not logged", color=QUIET, ha="center", transform=axes.transAxes)
    return figure


def _by_epoch(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each column by epoch; a row without an epoch belongs to the last one."""
    numbers = metrics.apply(pd.to_numeric, errors="coerce")
    if "search/epoch" not in numbers:
        return pd.DataFrame()
    if "search/step" in numbers:
        numbers = numbers.sort_values("search/step", kind="stable")
    epoch = numbers["search/epoch"].ffill().fillna(0).astype(int)
    means: pd.DataFrame = numbers.groupby(epoch).mean()
    return means


def _line(axes: Axes, values: pd.Series | None, name: str, colour: str) -> None:
    if values is None or values.dropna().empty:
        return
    kept = values.dropna()
    axes.plot(
        kept.index,
        kept.to_numpy(),
        label=name,
        color=colour,
        linewidth=2,
        marker="o",
        markersize=3.5,
        clip_on=False,
    )
