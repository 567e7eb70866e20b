"""Which arrow of a cell's picture runs where: its columns, its side of the row of nodes, its lane.

Column 0 holds the inputs, column i + 1 the node i, the last column the output. An arrow between
neighbours runs along the row (side 0); any other above (1) or below (-1) it, in the innermost lane
that is free between its columns. Of two inputs the first keeps to the top, the other to the bottom.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Drawable(Protocol):
    """What a picture needs to know of a genotype, or of two that are laid over each other."""

    @property
    def space(self) -> str:
        """Name of the space."""

    @property
    def cells(self) -> Mapping[str, Sequence[Sequence[tuple[str, int]]]]:
        """Per cell type, for each node its inputs as (operation, source state) pairs."""

    @property
    def concat(self) -> Mapping[str, Sequence[int]]:
        """Per cell type, the states that make the output."""

    @property
    def first_node(self) -> int:
        """The state number of the first node."""


@dataclass(eq=False)
class Arrow:
    """An arrow before it has coordinates.

    Args:
        operation: Its operation; "" for an arrow from a node to the output of the cell.
        source: The state it leaves.
        start: The column it leaves.
        end: The column it enters.
        side: 1 above the row of nodes, -1 below it, 0 along it.
        lane: 1 is the innermost of its side.
    """

    operation: str
    source: int
    start: int
    end: int
    side: int = 0
    lane: int = 0


def output_is_last_node(genotype: Drawable, cell_type: str) -> bool:
    """Tell whether the last node by itself is the output of the cell (NAS-Bench-201)."""
    return tuple(genotype.concat[cell_type]) == (_last_state(genotype, cell_type),)


def assign(genotype: Drawable, cell_type: str) -> list[Arrow]:
    """Return the arrows of a cell with sides and lanes, those to the output last."""
    inputs = genotype.first_node
    cell = genotype.cells[cell_type]
    arrows = [
        Arrow(operation, source, max(0, source - inputs + 1), node + 1)
        for node, edges in enumerate(cell)
        for operation, source in edges
    ]
    _assign_lanes(arrows, inputs)
    if output_is_last_node(genotype, cell_type):
        return arrows
    highest = {side: max([a.lane for a in arrows if a.side == side], default=0) for side in (1, -1)}
    side = -1 if highest[-1] <= highest[1] else 1
    last = _last_state(genotype, cell_type)
    for state in genotype.concat[cell_type]:
        arrow = Arrow("", state, state - inputs + 1, len(cell) + 1)
        if state != last:  # all others share the outermost lane
            arrow.side, arrow.lane = side, highest[side] + 1
        arrows.append(arrow)
    return arrows


def ports(arrows: list[Arrow]) -> dict[tuple[int, int], list[Arrow]]:
    """Order, from left to right, the arrows that touch a column from a side: {(column, side): ...}.

    Those that come stand left of those that leave, the higher lanes in the middle: then no two
    arrows of one box cross beside it.
    """
    order: dict[tuple[int, int], list[Arrow]] = defaultdict(list)
    for arrow in sorted(arrows, key=lambda a: a.lane):
        order[arrow.end, arrow.side].append(arrow)
    for arrow in sorted(arrows, key=lambda a: -a.lane):
        order[arrow.start, arrow.side].append(arrow)
    return order


def _last_state(genotype: Drawable, cell_type: str) -> int:
    return genotype.first_node + len(genotype.cells[cell_type]) - 1


def _assign_lanes(arrows: list[Arrow], inputs: int) -> None:
    """Short arrows first, so that they lie inside; a side is chosen for few lanes and crossings."""
    placed: list[Arrow] = []
    row: set[int] = set()
    for arrow in sorted(arrows, key=lambda a: (a.end - a.start, a.end, a.source, a.operation)):
        between_neighbours = arrow.end - arrow.start == 1 and (arrow.start > 0 or inputs == 1)
        if between_neighbours and arrow.end not in row:
            row.add(arrow.end)
            continue
        sides = [1, -1]
        if arrow.start == 0 and inputs == 2:
            sides = [1 - 2 * arrow.source]
        choices = []
        for side in sides:
            beside = [a for a in placed if a.side == side]
            taken = {a.lane for a in beside if a.start < arrow.end and arrow.start < a.end}
            lane = min(set(range(1, len(taken) + 2)) - taken)
            cost = lane + sum(_cross(a, arrow) for a in beside)
            choices.append((cost, len(beside), -side, lane))
        _, _, opposite, arrow.lane = min(choices)
        arrow.side = -opposite
        placed.append(arrow)


def _cross(a: Arrow, b: Arrow) -> bool:
    """Tell whether one begins within the other and ends beyond it."""
    first, second = sorted((a, b), key=lambda arrow: (arrow.start, arrow.end))
    return first.start < second.start < first.end < second.end
