"""Several methods with several seeds each, from the tables `runs.csv` and `signals.csv` of a study.

Every seed is drawn: four of them are too few for a mean alone to be believed.
"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lnas.errors import InputError
from lnas.visualize.figure import count_epochs, plain_axes
from lnas.visualize.palette import INK

THIN, THICK = 0.8, 2.4
APART = 0.14  # between the dots of one method, in rows: equal values stay visible


def seed_lines(
    axes: Axes, table: pd.DataFrame, column: str, colours: Mapping[str, str], x: str = "epoch"
) -> None:
    """Draw a thin line for each seed and a thick one for the mean of each method.

    Args:
        axes: Where to draw.
        table: Rows with the columns `method`, `seed`, `x` and `column`, as in `signals.csv`.
        column: What goes up.
        colours: Colour of each method, in the order of the legend.
        x: What goes to the right; epochs are counted from 1 on.

    Raises:
        InputError: A method has no values.
    """
    plain_axes(axes)
    count_epochs(axes)
    for method, colour in colours.items():
        found = _values(table, column, method)
        wide = found.pivot(index=x, columns="seed", values=column)
        places = wide.index + (x == "epoch")
        axes.plot(places, wide.to_numpy(), color=colour, linewidth=THIN, alpha=0.5)
        axes.plot(places, wide.mean(axis=1), color=colour, linewidth=THICK, label=method)
    axes.set_xlabel(x, size=9, color=INK)


def seed_dots(axes: Axes, table: pd.DataFrame, column: str, colours: Mapping[str, str]) -> None:
    """Draw a row for each method: a dot for each seed, a bar at their mean.

    Args:
        axes: Where to draw.
        table: Rows with the columns `method`, `seed` and `column`, as in `runs.csv`.
        column: What goes to the right.
        colours: Colour of each method, from top to bottom.

    Raises:
        InputError: A method has no values.
    """
    plain_axes(axes)
    for row, (method, colour) in enumerate(colours.items()):
        values = _values(table, column, method).sort_values("seed")[column].to_numpy()
        middle = (len(values) - 1) / 2
        rows = [row + APART * (index - middle) for index in range(len(values))]
        axes.plot(values, rows, "o", color=colour, markersize=5, alpha=0.75, markeredgewidth=0)
        axes.plot([values.mean()] * 2, [row - 0.36, row + 0.36], color=colour, linewidth=THICK)
    axes.set_yticks(range(len(colours)), list(colours), size=9, color=INK)
    axes.set_ylim(len(colours) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5))


def _values(table: pd.DataFrame, column: str, method: str) -> pd.DataFrame:
    """Return the rows of a method that have a value."""
    found = table[table["method"] == method].dropna(subset=[column])
    if found.empty:
        methods = ", ".join(map(repr, dict.fromkeys(table["method"])))
        raise InputError(
            f"{method!r} has no {column!r} to draw; the table's methods are {methods}."
        )
    return found
