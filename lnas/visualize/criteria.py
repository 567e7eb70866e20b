"""Criteria side by side: what their cells reach with the weights of the supernet."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lnas.visualize.figure import new_figure, plain_axes, save_figure
from lnas.visualize.palette import CONVOLUTION, INK, QUIET, SEPARABLE

Measures = Mapping[str, float]
Child = tuple[str, Measures, int, float]
UNITS = {"loss": "loss (nats)"}


def draw_criteria(
    supernet: Measures,
    children: Sequence[Child],
    path: str | Path,
) -> None:
    """Draw a bar for each child and measure into a PNG or SVG file; the supernet is a line.

    Args:
        supernet: Its measures on held-out examples.
        children: Name of the criterion, measures of its child, parameters of the usual network, and
            the share of edges on which it is as the first one.
        path: Ends in `.png` or `.svg`.

    Raises:
        InputError: Another suffix, or a folder that cannot be written.
    """
    save_figure(criteria_figure(supernet, children), path)


def criteria_figure(supernet: Measures, children: Sequence[Child]) -> Figure:
    """Return the picture that `draw_criteria` writes."""
    figure = new_figure(5.6 * len(supernet), 1.5 + 0.5 * len(children), layout="constrained")
    panels = figure.subplots(1, len(supernet), squeeze=False, sharey=True)[0]
    for axes, (name, value) in zip(panels, supernet.items(), strict=True):
        _bars(axes, [measures[name] for _, measures, *_ in children])
        axes.axvline(value, color=CONVOLUTION.colour, linewidth=1.4, linestyle="--")
        axes.set_title(
            f"{UNITS.get(name, name)}; dashed: the supernet, {value:#.4g}",
            size=10, color=INK, loc="left",
        )  # fmt: skip
    rows = [f"{name}\n{parameters:,} parameters" for name, _, parameters, _ in children]
    for number, (*_, share) in enumerate(children[1:], 1):
        rows[number] += f"\n{share:.0%} of edges as {children[0][0]}"
    panels[0].set_yticks(range(len(children)), rows, size=8, color=INK)
    panels[0].invert_yaxis()
    figure.suptitle(
        "Held-out examples, no retraining", x=0.01, ha="left", size=11, weight="bold", color=INK
    )
    return figure


def _bars(axes: Axes, values: Sequence[float]) -> None:
    plain_axes(axes)
    axes.barh(range(len(values)), values, color=SEPARABLE.colour, height=0.62)
    for row, value in enumerate(values):
        axes.annotate(
            f"{value:#.4g}", (value, row), (4, 0), textcoords="offset points", va="center",
            size=8.5, color=INK,
        )  # fmt: skip
    axes.margins(x=0.14)
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_color(QUIET)
