"""Gates over time: one small picture per edge, rows by target node, columns by source.

What to look for: curves that part early (a confident search), skip connections that rise everywhere
(a collapse; Zela et al., arXiv:1909.09656), flat bundles (a search that decides little).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from torch import Tensor

from lnas.errors import InputError
from lnas.spaces import SearchSpace
from lnas.visualize.figure import count_epochs, new_figure, plain_axes, save_figure
from lnas.visualize.layout import edge_label
from lnas.visualize.palette import INK, TITLES, family, label

Dashes = tuple[float, tuple[float, ...]]
DASHES: tuple[Dashes, ...] = ((0, ()), (0, (4, 1.5)), (0, (1, 1.2)), (0, (4, 1.5, 1, 1.5)))
PANEL = (1.45, 1.15)  # inches

Gates = Mapping[str, Tensor] | Mapping[str, NDArray[np.floating]]


def draw_gates(history: Sequence[Gates], space: SearchSpace, path: str | Path) -> None:
    """Draw how the gates of each edge moved into a PNG or SVG file.

    Args:
        history: One entry per epoch: {cell type: (edges, operations)}, noise-free probabilities.
        space: The space that names the edges and operations.
        path: Ends in `.png` or `.svg`.

    Raises:
        InputError: No entry, an entry of another shape, another suffix, or a folder that cannot
            be written.
    """
    save_figure(gates_figure(history, space), path)


def gates_figure(history: Sequence[Gates], space: SearchSpace) -> Figure:
    """Return the picture that `draw_gates` writes."""
    series = {cell_type: _stack(history, space, cell_type) for cell_type in space.cell_types}
    columns = space.inputs + space.nodes - 1
    width = len(series) * (columns * PANEL[0] + 0.7) + 0.2
    figure = new_figure(width, space.nodes * PANEL[1] + 1.5)
    parts = figure.subfigures(1, len(series), squeeze=False)[0]
    low, high = (
        float(extreme([extreme(values) for values in series.values()]))
        for extreme in (np.nanmin, np.nanmax)
    )
    margin = 0.05 * (high - low) or 0.01  # one scale for all edges: who is decided is seen at once
    styles = _styles(space.operations)
    for part, (cell_type, values) in zip(parts, series.items(), strict=True):
        part.suptitle(TITLES.get(cell_type, cell_type), weight="bold", color=INK, y=0.98)
        grid = part.add_gridspec(
            space.nodes, columns,
            left=0.09, right=0.98, top=0.88, bottom=0.2, hspace=0.5, wspace=0.15,
        )  # fmt: skip
        for row, edge in enumerate(space.edges):
            axes = part.add_subplot(grid[edge.target - space.inputs, edge.source])
            plain_axes(axes)
            count_epochs(axes)
            axes.set_ylim(low - margin, high + margin)
            name = edge_label(space.name, space.inputs, edge.source, edge.target)
            axes.set_title(name, size=8, color=INK, pad=3)
            _draw_edge(axes, values[:, row], styles)
            if edge.source:
                axes.set_yticklabels([])
            if edge.target < space.inputs + space.nodes - 1:
                axes.set_xticklabels([])
    lines = [
        Line2D([], [], color=colour, linestyle=dash, linewidth=2, label=label(name))
        for name, (colour, dash) in zip(space.operations, styles, strict=True)
    ]
    columns = min(len(lines), 4 * len(series))
    figure.legend(handles=lines, loc="lower center", ncols=columns, frameon=False, fontsize=9)
    figure.text(0.5, 0.13, "epoch", size=9, color=INK, ha="center")
    return figure


def _stack(history: Sequence[Gates], space: SearchSpace, cell_type: str) -> NDArray[np.floating]:
    """Return the gates of one cell type: (epochs, edges, operations)."""
    if not history:
        raise InputError("No gates to draw: the history is empty; give one entry per epoch.")
    expected = (len(space.edges), len(space.operations))
    arrays = []
    for entry in history:
        gates = entry[cell_type]
        array = gates.detach().cpu().double().numpy() if isinstance(gates, Tensor) else gates
        if np.shape(array) != expected:
            raise InputError(
                f"Gates of the {cell_type} cell have the shape {np.shape(array)}; the space "
                f"{space.name} has (edges, operations) = {expected}."
            )
        arrays.append(np.asarray(array, dtype=float))
    return np.stack(arrays)


def _styles(operations: Sequence[str]) -> list[tuple[str, Dashes]]:
    """Give each operation its family's colour, and dashes that tell the family's members apart."""
    seen: dict[str, int] = {}
    styles: list[tuple[str, Dashes]] = []
    for name in operations:
        colour = family(name).colour
        styles.append((colour, DASHES[seen.get(colour, 0) % len(DASHES)]))
        seen[colour] = seen.get(colour, 0) + 1
    return styles


def _draw_edge(
    axes: Axes, values: NDArray[np.floating], styles: Sequence[tuple[str, Dashes]]
) -> None:
    """Draw the curves (epochs, operations) of one edge; the strongest at the end is thicker."""
    winner = int(np.nanargmax(values[-1]))
    marker = "o" if len(values) == 1 else None
    for index, (colour, dash) in enumerate(styles):
        thickness = 2.2 if index == winner else 1.1
        axes.plot(
            values[:, index], color=colour, linestyle=dash, linewidth=thickness, marker=marker, ms=3
        )
