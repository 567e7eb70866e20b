"""Gates against strengths: whether what an operation weighs says what it is worth.

The argument of Wang et al. (ICLR 2021, arXiv:2108.04392): on the edges of a supernet the size of a
gate and the strength of its operation hardly go together.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lnas.spaces import SearchSpace
from lnas.visualize.figure import new_figure, plain_axes, save_figure
from lnas.visualize.layout import edge_label
from lnas.visualize.palette import CONVOLUTION, INK, QUIET, SEPARABLE, TITLES, family

Tables = Mapping[str, Tensor]


def draw_strengths(
    gates: Tables,
    strengths: Tables,
    correlations: Mapping[str, Sequence[float | None]],
    space: SearchSpace,
    path: str | Path,
    title: str = "strength",
) -> None:
    """Draw strengths over gates and their rank correlation on each edge into a PNG or SVG file.

    Args:
        gates: (edges, ops) per cell type.
        strengths: The same; -inf where there is no candidate.
        correlations: Of each edge, per cell type; None where there is none.
        space: Names edges and operations.
        path: Ends in `.png` or `.svg`.
        title: What the strength is, with its unit.

    Raises:
        InputError: Another suffix, or a folder that cannot be written.
    """
    save_figure(strength_figure(gates, strengths, correlations, space, title), path)


def strength_figure(
    gates: Tables,
    strengths: Tables,
    correlations: Mapping[str, Sequence[float | None]],
    space: SearchSpace,
    title: str,
) -> Figure:
    """Return the picture that `draw_strengths` writes."""
    rows = len(space.cell_types)
    figure = new_figure(11, 3.6 * rows, layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False, width_ratios=[1, 1.4])
    for (points, bars), kind in zip(panels, space.cell_types, strict=True):
        _scatter(points, gates[kind], strengths[kind], space)
        points.set_title(TITLES.get(kind, kind), size=11, weight="bold", color=INK, loc="left")
        points.set_ylabel(title, size=9, color=INK)
        _correlations(bars, correlations[kind], space)
    return figure


def _scatter(axes: Axes, gates: Tensor, strengths: Tensor, space: SearchSpace) -> None:
    plain_axes(axes)
    seen = set()
    for column, operation in enumerate(space.operations):
        known = strengths[:, column].isfinite()
        if not known.any():
            continue
        kind = family(operation)
        axes.plot(
            gates[known, column].tolist(), strengths[known, column].tolist(), "o",
            color=kind.colour, alpha=0.75, markersize=5, markeredgewidth=0,
            label=None if kind.name in seen else kind.name,
        )  # fmt: skip
        seen.add(kind.name)
    axes.axhline(0, color=QUIET, linewidth=0.8, zorder=0)
    axes.set_xlabel("gate", size=9, color=INK)
    axes.legend(frameon=False, fontsize=8.5)


def _correlations(axes: Axes, values: Sequence[float | None], space: SearchSpace) -> None:
    plain_axes(axes)
    known = [value for value in values if value is not None]
    colours = [SEPARABLE.colour if (v or 0) >= 0 else CONVOLUTION.colour for v in values]
    axes.bar(range(len(values)), [v or 0.0 for v in values], color=colours, width=0.7)
    names = [edge_label(space.name, space.inputs, e.source, e.target) for e in space.edges]
    axes.set_xticks(range(len(values)), names, size=8, color=INK, rotation=90)
    axes.axhline(0, color=QUIET, linewidth=0.8)
    axes.set_ylim(-1.05, 1.05)
    axes.set_xlabel("edge", size=9, color=INK)
    axes.set_ylabel("rank correlation", size=9, color=INK)
    mean = f"mean {sum(known) / len(known):+.2f}" if known else "no edge has two candidates"
    axes.set_title(f"strength with gate, {mean}", size=10, color=INK, loc="left")
