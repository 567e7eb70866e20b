"""A cell for a slide: nodes in order, operations on arrows, families in colours.

The geometry is in `layout.py`; this file gives it colour. Nothing but matplotlib is needed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path

from lnas.genotype import Genotype
from lnas.visualize.figure import new_figure, save_figure
from lnas.visualize.layout import (
    NAME_SIZE,
    STATE_SIZE,
    Box,
    CellLayout,
    Wire,
    lay_out,
    text_width,
)
from lnas.visualize.palette import INK, PAPER, QUIET, TITLES, family, tint

LEGEND_SIZE = 9.5  # points
MARGIN = 0.3  # inches around everything
TITLE, LEGEND = 0.42, 0.5  # inches of height
LINE = 2.0  # points
ARROW = 0.11  # inches
CORNER = 0.16  # radius of a bend, inches
STATES: dict[str, dict[str, Any]] = {
    "input": {"facecolor": "#e4e9ee", "edgecolor": "#51606e", "linewidth": 1.2},
    "output": {"facecolor": "#e4e9ee", "edgecolor": "#51606e", "linewidth": 1.2},
    "node": {"facecolor": PAPER, "edgecolor": INK, "linewidth": 1.4},
    "empty": {"facecolor": PAPER, "edgecolor": QUIET, "linewidth": 1.2, "linestyle": (0, (3, 2))},
}


@dataclass(frozen=True)
class Stroke:
    """How the arrow of an operation is drawn, and the name on it.

    Args:
        colour: Of the arrow and around its name.
        ink: Of the name.
        width: Of the line, in points.
        dashes: Lengths of ink and gap in line widths; none for a solid line.
    """

    colour: str
    ink: str = INK
    width: float = LINE
    dashes: tuple[float, ...] = ()

    @property
    def style(self) -> tuple[float, tuple[float, ...]]:
        """The line style as matplotlib takes it."""
        return 0, self.dashes


MERGING = Stroke(QUIET, "#51606e", 1.4)


def draw_genotype(genotype: Genotype, path: str | FilePath) -> None:
    """Draw all cells of `genotype`, one above the other, into a PNG or SVG file.

    Args:
        genotype: Of any space; nodes without inputs are drawn dashed.
        path: Ends in `.png` or `.svg`. The same genotype gives the same bytes.

    Raises:
        InputError: Another suffix, or the file cannot be written.
    """
    save_figure(cell_figure(genotype), path)


def cell_figure(genotype: Genotype) -> Figure:
    """Return the picture of all cells of `genotype`; one unit of the figure's axes is an inch."""
    layouts = {cell_type: lay_out(genotype, cell_type) for cell_type in genotype.cells}
    families = sorted(
        {family(name) for kind in genotype.cells for *_, name in genotype.edges(kind)}
    )
    legend = [(name, Stroke(colour)) for name, colour in families]
    return sheet(layouts, family_stroke, legend)


def family_stroke(operation: str) -> Stroke:
    """Return the colour of an operation's family."""
    return Stroke(family(operation).colour)


def sheet(
    layouts: Mapping[str, CellLayout],
    stroke: Callable[[str], Stroke],
    legend: Sequence[tuple[str, Stroke]],
) -> Figure:
    """Return the picture of cells, one above the other.

    Args:
        layouts: Per cell type.
        stroke: How the arrow of an operation is drawn.
        legend: Names of strokes, for the last line.
    """
    left = min(layout.bounds[0] for layout in layouts.values())
    right = max(layout.bounds[2] for layout in layouts.values())
    width = max(right - left + 2 * MARGIN, _legend_width(legend))
    heights = [layout.bounds[3] - layout.bounds[1] + TITLE + MARGIN for layout in layouts.values()]
    height = sum(heights) + LEGEND + MARGIN / 2
    figure = new_figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(left - MARGIN, left - MARGIN + width)
    axes.set_ylim(0, height)
    axes.set_axis_off()
    top = height - MARGIN / 2
    for (cell_type, layout), taken in zip(layouts.items(), heights, strict=True):
        axes.text(
            left,
            top - TITLE / 2,
            TITLES.get(cell_type, "cell"),
            size=13,
            weight="bold",
            color=INK,
            va="center",
            gid="title",
        )
        _draw(axes, layout, top - TITLE - layout.bounds[3], stroke)
        top -= taken
    _legend(axes, legend, left, LEGEND / 2 + 0.05)
    return figure


def _draw(axes: Axes, layout: CellLayout, shift: float, stroke: Callable[[str], Stroke]) -> None:
    """Draw arrows first, quiet ones below, then states, then names."""
    strokes = [stroke(wire.operation) if wire.operation else MERGING for wire in layout.wires]
    drawn = list(zip(layout.wires, strokes, strict=True))
    for wire, drawn_as in sorted(drawn, key=lambda pair: bool(pair[0].operation)):
        _draw_wire(axes, wire, drawn_as, shift)
    for box in layout.boxes:
        _draw_box(axes, box, shift, 0.09, STATES[box.kind])
        colour = QUIET if box.kind == "empty" else INK
        _text(axes, box, shift, STATE_SIZE, colour)
    for wire, drawn_as in drawn:
        if wire.name:
            style: dict[str, Any] = {"edgecolor": drawn_as.colour, "linewidth": 1.1}
            style["facecolor"] = tint(drawn_as.colour) if wire.operation else PAPER
            style["linestyle"] = (0, (3, 2)) if drawn_as.dashes else "-"
            _draw_box(axes, wire.name, shift, wire.name.height / 2, style)
            _text(axes, wire.name, shift, NAME_SIZE, drawn_as.ink)


def _text(axes: Axes, box: Box, shift: float, size: float, colour: str) -> None:
    axes.text(
        box.x, box.y + shift, box.text, size=size, color=colour, gid=box.kind,
        ha="center", va="center" if "$" in box.text else "center_baseline", zorder=6,
    )  # fmt: skip


def _draw_box(axes: Axes, box: Box, shift: float, radius: float, style: dict[str, Any]) -> None:
    left, bottom, _, _ = box.bounds
    shape = f"round,pad=0,rounding_size={radius}"
    corner = (left, bottom + shift)
    axes.add_patch(FancyBboxPatch(corner, box.width, box.height, shape, zorder=5, **style))


def _draw_wire(axes: Axes, wire: Wire, stroke: Stroke, shift: float) -> None:
    """Draw an arrow with round corners, its head, and a white rim where it passes over others."""
    points = [(x, y + shift) for x, y in wire.points]
    (x0, y0), (x1, y1) = points[-2:]
    length = abs(x1 - x0) + abs(y1 - y0)  # the last stretch is horizontal or vertical
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    base = (x1 - dx * ARROW, y1 - dy * ARROW)
    path = _rounded([*points[:-1], base])
    over = 3.0 if wire.operation else 2.0
    # The rims of coloured arrows lie in their order; grey lines meet, so all their rims lie below.
    rim = over if wire.operation else over - 1
    solid = "-"
    for paint, thickness, zorder, style in (
        (PAPER, stroke.width + 3.0, rim, solid),
        (stroke.colour, stroke.width, over, stroke.style if stroke.dashes else solid),
    ):
        axes.add_patch(
            PathPatch(
                path, fill=False, edgecolor=paint, linewidth=thickness, zorder=zorder,
                linestyle=style,
            )
        )  # fmt: skip
    half = ARROW * 0.5
    wings = [
        (x1, y1),
        (base[0] - dy * half, base[1] + dx * half),
        (base[0] + dy * half, base[1] - dx * half),
    ]
    axes.add_patch(
        Polygon(wings, closed=True, facecolor=stroke.colour, edgecolor="none", zorder=over + 0.5)
    )


def _rounded(points: list[tuple[float, float]]) -> Path:
    """Return the path through `points` (alternately horizontal and vertical) with round corners."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        vertices += [_towards(corner, before), corner, _towards(corner, after)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    vertices.append(points[-1])
    codes.append(Path.LINETO)
    return Path(vertices, codes)


def _towards(point: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    length = max(abs(other[0] - point[0]), abs(other[1] - point[1]), 1e-9)
    step = min(CORNER, length / 2) / length
    return point[0] + step * (other[0] - point[0]), point[1] + step * (other[1] - point[1])


def _legend_entry(name: str) -> float:
    return 0.38 + text_width(name, LEGEND_SIZE) + 0.35


def _legend_width(legend: Sequence[tuple[str, Stroke]]) -> float:
    return 2 * MARGIN + sum(_legend_entry(name) for name, _ in legend)


def _legend(axes: Axes, legend: Sequence[tuple[str, Stroke]], left: float, y: float) -> None:
    for name, stroke in legend:
        axes.plot(
            [left, left + 0.28], [y, y], color=stroke.colour, linewidth=1.75 * stroke.width,
            linestyle=(0, (1.5, 1)) if stroke.dashes else "-", solid_capstyle="round",
        )  # fmt: skip
        axes.text(
            left + 0.38, y, name, size=LEGEND_SIZE, color=INK, va="center_baseline", gid="legend"
        )
        left += _legend_entry(name)
