"""Figures without pyplot: any thread may draw, and the same input gives the same bytes."""

import threading
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lnas.errors import InputError
from lnas.files import replacing
from lnas.visualize.palette import INK, QUIET

SUFFIXES = (".png", ".svg")
_SETTINGS = threading.Lock()  # matplotlib keeps the two settings of an SVG for the whole process


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """Return an empty white figure of the given size in inches."""
    figure = Figure(figsize=(width, height), facecolor="white", **options)
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes) -> None:
    """Take away what a curve does not need."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(labelsize=8, length=2.5, color=QUIET, labelcolor=INK)


def count_epochs(axes: Axes) -> None:
    """Let the axis to the right have few ticks, at whole numbers."""
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write `figure` as PNG or SVG, by the suffix of `path`; an interruption leaves no half file.

    Raises:
        InputError: The suffix is another one, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InputError(f"Cannot draw {path.name!r}: pictures are {' or '.join(SUFFIXES)} files.")
    # A fixed salt makes the identifiers of an SVG the same in every run; a date would change daily.
    settings: Any = {"svg.hashsalt": "lnas", "svg.fonttype": "path"}
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with replacing(path) as temporary, _SETTINGS, mpl.rc_context(settings):
        figure.savefig(temporary, dpi=200, metadata=metadata)
