"""Searches side by side: what each epoch would derive, and what the gates share among operations.

A collapse is seen at once: one colour, that of the skip connection, fills both strips (Zela et al.,
arXiv:1909.09656). Gates that hardly part keep their bands and may still derive a lively cell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.visualize.figure import count_epochs, new_figure, plain_axes, save_figure
from lnas.visualize.layout import edge_label, text_width
from lnas.visualize.palette import INK, TITLES, family, label, tint

WIDTH, BAND, SHARES = 4.2, 0.2, 1.5  # inches: of a panel, of an edge, of the panel of shares
SIZE = 8  # points, of the names of edges
SHADES = (1.0, 0.55, 0.78, 0.35)  # of the members of one family
NOT_DERIVED = to_rgb("#f1f3f5")


@dataclass(frozen=True)
class Trail:
    """What a search left behind, epoch by epoch.

    Args:
        name: What the search is called.
        edges: Names of the edges, "target_source".
        operations: Names of the operations.
        gates: (epochs, edges, ops) per cell type, noise-free.
        genotypes: What each epoch would derive.
    """

    name: str
    edges: Sequence[str]
    operations: Sequence[str]
    gates: Mapping[str, NDArray[np.floating]]
    genotypes: Sequence[Genotype]


def draw_trails(trails: Sequence[Trail], path: str | Path) -> None:
    """Draw searches side by side into a PNG or SVG file.

    Args:
        trails: At least one; all of one space.
        path: Ends in `.png` or `.svg`.

    Raises:
        InputError: They are of different spaces, another suffix, or a file that cannot be written.
    """
    save_figure(trails_figure(trails), path)


def trails_figure(trails: Sequence[Trail]) -> Figure:
    """Return the picture that `draw_trails` writes."""
    first = trails[0]
    for trail in trails:
        if (trail.edges, trail.operations) != (first.edges, first.operations):
            raise InputError(
                f"{trail.name} and {first.name} search different spaces; give runs of one space."
            )
    kinds, colours = list(first.gates), operation_colours(first.operations)
    strip = BAND * len(first.edges)
    columns = len(trails) * len(kinds)
    names = _edge_names(first)
    left = 0.45 + max(0.35, *(text_width(name, SIZE) for name in names))
    figure = new_figure(WIDTH * columns + left - 0.2, strip + SHARES + 1.75)
    grid = figure.subplots(
        2, columns, squeeze=False, sharex="col",
        gridspec_kw={"height_ratios": [strip, SHARES], "hspace": 0.1, "wspace": 0.18},
    )  # fmt: skip
    height = figure.get_figheight()
    figure.subplots_adjust(
        left=left / figure.get_figwidth(), right=1 - 0.15 / figure.get_figwidth(),
        top=1 - 0.45 / height, bottom=0.95 / height,
    )  # fmt: skip
    panels = [(trail, kind) for trail in trails for kind in kinds]
    for column, (trail, kind) in enumerate(panels):
        derived, shares = grid[0, column], grid[1, column]
        _draw_derived(derived, trail, kind, colours)
        derived.set_yticks(range(len(names)), names, size=SIZE)
        _draw_shares(shares, trail.gates[kind], colours)
        title = trail.name if len(kinds) == 1 else f"{trail.name}, {TITLES.get(kind, kind)}"
        derived.set_title(title, size=12, weight="bold", color=INK, loc="left")
        if column:
            derived.set_yticklabels([])
            shares.set_yticklabels([])
    grid[0, 0].set_ylabel("derived, by edge", size=9, color=INK)
    grid[1, 0].set_ylabel("share of gates", size=9, color=INK)
    patches = [Patch(color=colours[name], label=label(name)) for name in first.operations]
    figure.legend(
        handles=patches, loc="lower center", ncols=min(len(patches), 2 + 2 * columns),
        frameon=False, fontsize=9,
    )  # fmt: skip
    return figure


def operation_colours(operations: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Return the colour of each operation: its family's, in shades for the family's members."""
    seen: dict[str, int] = {}
    colours = {}
    for name in operations:
        colour = family(name).colour
        colours[name] = tint(colour, SHADES[seen.get(colour, 0) % len(SHADES)])
        seen[colour] = seen.get(colour, 0) + 1
    return colours


def _edge_names(trail: Trail) -> list[str]:
    """Return the names of the edges as the pictures of cells name states."""
    states = [tuple(map(int, name.split("_"))) for name in trail.edges]
    space, inputs = trail.genotypes[0].space, min(target for target, _ in states)
    return [edge_label(space, inputs, source, target) for target, source in states]


def _draw_derived(
    axes: Axes, trail: Trail, kind: str, colours: Mapping[str, tuple[float, float, float]]
) -> None:
    """Draw a row for each edge and a column for each epoch, in the colour of what is derived."""
    plain_axes(axes)
    image = np.full((len(trail.edges), len(trail.genotypes), 3), NOT_DERIVED)
    rows = {name: row for row, name in enumerate(trail.edges)}
    for epoch, genotype in enumerate(trail.genotypes):
        for node, source, operation in genotype.edges(kind):
            image[rows[f"{node}_{source}"], epoch] = colours[operation]
    last = len(trail.genotypes) - 0.5
    axes.imshow(
        image, aspect="auto", interpolation="nearest", extent=(-0.5, last, len(rows) - 0.5, -0.5)
    )
    for row in range(1, len(rows)):
        axes.axhline(row - 0.5, color="white", linewidth=1.5)
    axes.tick_params(axis="x", labelbottom=False, length=0)
    axes.tick_params(axis="y", length=0)


def _draw_shares(
    axes: Axes,
    gates: NDArray[np.floating],
    colours: Mapping[str, tuple[float, float, float]],
) -> None:
    """Stack the shares that operations have in the gates of all edges."""
    plain_axes(axes)
    count_epochs(axes)
    weights = np.clip(gates, 0, None).sum(1)
    shares = weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)
    epochs = np.arange(len(shares) + 1) - 0.5  # as wide as the strip above
    steps = np.concatenate([shares, shares[-1:]])
    axes.stackplot(epochs, steps.T, colors=list(colours.values()), step="post", linewidth=0)
    axes.set_xlim(epochs[0], epochs[-1])
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("epoch", size=9, color=INK)
