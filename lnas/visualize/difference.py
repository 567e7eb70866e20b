"""Two cells laid over each other: what stays is quiet, what goes is dashed, what comes is bold.

Where an edge only changes its operation, one arrow carries the old name and the new one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from lnas.genotype import Change, Genotype, changes
from lnas.visualize.cell import Stroke, sheet
from lnas.visualize.figure import save_figure
from lnas.visualize.layout import lay_out
from lnas.visualize.palette import CONVOLUTION, DILATED, SEPARABLE, label

BECOMES = "->"  # between the two operations of an arrow
KEPT = Stroke("#b9c1ca", ink="#6b7682", width=1.6)
STROKES = {
    "kept": KEPT,
    "changed": Stroke(DILATED.colour, width=2.4),
    "removed": Stroke(CONVOLUTION.colour, width=2.0, dashes=(2.6, 1.8)),
    "added": Stroke(SEPARABLE.colour, width=2.6),
}
LEGEND = {
    "kept": "in both",
    "changed": "operation of {0} → {1}",
    "removed": "only in {0}",
    "added": "only in {1}",
}


@dataclass(frozen=True)
class Overlay:
    """Both cells as one, its operations written as "old->new"; either is "" where there is none."""

    space: str
    cells: Mapping[str, list[list[tuple[str, int]]]]
    concat: Mapping[str, tuple[int, ...]]
    first_node: int


def draw_difference(
    a: Genotype, b: Genotype, path: str | Path, names: tuple[str, str] = ("a", "b")
) -> None:
    """Draw what changes from `a` to `b` into a PNG or SVG file.

    Args:
        a: A genotype.
        b: Another one of its space.
        path: Ends in `.png` or `.svg`. The same genotypes give the same bytes.
        names: What the legend calls the two.

    Raises:
        InputError: They are of different spaces, another suffix, or a file that cannot be written.
    """
    save_figure(difference_figure(a, b, names), path)


def difference_figure(a: Genotype, b: Genotype, names: tuple[str, str] = ("a", "b")) -> Figure:
    """Return the picture that `draw_difference` writes."""
    found = changes(a, b)
    overlay = _overlay(a, b, found)
    layouts = {kind: lay_out(overlay, kind, _name) for kind in found}
    seen = {change.kind for listed in found.values() for change in listed}
    legend = [(text.format(*names), STROKES[kind]) for kind, text in LEGEND.items() if kind in seen]
    return sheet(layouts, _stroke, legend)


def _overlay(a: Genotype, b: Genotype, found: Mapping[str, list[Change]]) -> Overlay:
    cells, concat = {}, {}
    for kind, listed in found.items():
        nodes = max(len(a.cells[kind]), len(b.cells[kind]))
        cells[kind] = [
            [(change.old + BECOMES + change.new, change.source) for change in listed
             if change.node == node]
            for node in range(a.first_node, a.first_node + nodes)
        ]  # fmt: skip
        concat[kind] = tuple(sorted({*a.concat[kind], *b.concat[kind]}))
    return Overlay(a.space, cells, concat, a.first_node)


def _change(operation: str) -> Change:
    old, _, new = operation.partition(BECOMES)
    return Change(0, 0, old, new)


def _stroke(operation: str) -> Stroke:
    return STROKES[_change(operation).kind]


def _name(operation: str) -> str:
    change = _change(operation)
    if change.kind == "changed":
        return f"{label(change.old)} → {label(change.new)}"
    return label(change.old or change.new)
