"""Where everything of a cell's picture goes, in inches: no operation's name meets anything else.

States stand in columns from left to right; `lanes.py` says in which lane an arrow runs. An arrow
turns up or down only right above or below a state's box. Its operation's name sits on it in the gap
before its node, and no arrow turns in a gap: so names overlap nothing, whatever the cell.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from matplotlib.textpath import TextPath

from lnas.visualize.lanes import Arrow, Drawable, assign, output_is_last_node, ports
from lnas.visualize.palette import label

NAME_SIZE, STATE_SIZE = 10.0, 11.0  # points
PITCH = 0.35  # between lanes
PILL = 0.25  # height of a name's box
PORT = 0.15  # between arrows at a box
HALF = 0.21  # half of the height of a node's box
WIDTH = 0.6  # of a node's box, unless its arrows need more
FIRST = 0.62  # from the row of nodes to the first lane
GAP = 0.34  # free space left and right of the longest name, together
INPUTS = {
    "darts": ("$c_{k-2}$", "$c_{k-1}$"),
    "nasbench201": ("$c_{k-1}$",),
    "recurrent": ("$x_t,\\,h_{t-1}$",),
}
OUTPUTS = {"darts": "$c_k$", "nasbench201": "$c_k$", "recurrent": "$h_t$"}
MERGES = {"darts": "concat", "nasbench201": "sum", "recurrent": "mean"}

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle: its centre, its size, the text in it.

    Args:
        kind: "input", "node", "empty" (a node without inputs), "output", or "name".
    """

    x: float
    y: float
    width: float
    height: float
    text: str
    kind: str

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top."""
        right, up = self.width / 2, self.height / 2
        return self.x - right, self.y - up, self.x + right, self.y + up


@dataclass(frozen=True)
class Wire:
    """An arrow along the corners `points`, and the box of the name on it, if it has one."""

    operation: str
    points: tuple[Point, ...]
    name: Box | None


@dataclass(frozen=True)
class CellLayout:
    """The boxes of the states and the arrows of one cell; the row of nodes is at height 0."""

    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top of everything."""
        boxes = [*self.boxes, *(wire.name for wire in self.wires if wire.name)]
        corners = [(*box.bounds[:2], *box.bounds[2:]) for box in boxes]
        corners += [(x, y, x, y) for wire in self.wires for x, y in wire.points]
        left, bottom, right, top = zip(*corners, strict=True)
        return min(left), min(bottom), max(right), max(top)


@cache
def text_width(text: str, size: float) -> float:
    """Return how wide `text` is in inches, in the standard font at `size` points."""
    return float(TextPath((0, 0), text, size=size).get_extents().width) / 72


def edge_label(space: str, inputs: int, source: int, target: int) -> str:
    """Return the name of an edge, with states named as in the pictures of cells.

    Args:
        space: Name of the search space.
        inputs: Number of input states of its cells.
        source: The state that the edge leaves.
        target: The one that it enters.
    """
    names = INPUTS.get(space, ())
    named = names if len(names) == inputs else tuple(f"input {number}" for number in range(inputs))
    states = (named[state] if state < inputs else str(state - inputs) for state in (source, target))
    return " → ".join(states)


def lay_out(genotype: Drawable, cell_type: str, named: Callable[[str], str] = label) -> CellLayout:
    """Place all states and operations of the cell `cell_type` of `genotype`.

    Args:
        genotype: The cells.
        cell_type: Which of them.
        named: What is written on the arrow of an operation.
    """
    arrows = assign(genotype, cell_type)
    grid = _Grid(genotype, cell_type, arrows, named)
    return CellLayout((*_inputs(grid, arrows), *_states(grid)), tuple(_wires(grid, arrows)))


class _Grid:
    """The columns of a cell: their centres, their widths, the places where arrows touch them."""

    def __init__(
        self,
        genotype: Drawable,
        cell_type: str,
        arrows: list[Arrow],
        named: Callable[[str], str],
    ) -> None:
        self.space, self.named = genotype.space, named
        self.cell = genotype.cells[cell_type]
        self.ports = ports(arrows)
        self.texts = [str(node) for node in range(len(self.cell))]
        if output_is_last_node(genotype, cell_type):
            self.texts.pop()
        self.texts.append(OUTPUTS[self.space])
        # The longest name of all cells, so that the columns of different cells stand aligned.
        names = {op for cell in genotype.cells.values() for node in cell for op, _ in node}
        longest = [_name_width(text) for text in [*map(named, names), MERGES[self.space]]]
        self.gap = max(longest) + GAP
        self.widths = [max(text_width(text, STATE_SIZE) for text in INPUTS[self.space]) + 0.28]
        self.centres = [0.0]
        for column, text in enumerate(self.texts, start=1):
            arrows_beside = max(len(self.ports.get((column, side), [])) for side in (1, -1))
            needed = PORT * (arrows_beside + 1) if column <= len(self.cell) else 0.0
            self.widths.append(max(WIDTH, needed, text_width(text, STATE_SIZE) + 0.24))
            self.centres.append(self.right(column - 1) + self.gap + self.widths[-1] / 2)

    def left(self, column: int) -> float:
        return self.centres[column] - self.widths[column] / 2

    def right(self, column: int) -> float:
        return self.centres[column] + self.widths[column] / 2

    def port(self, column: int, arrow: Arrow) -> float:
        """Return the x where `arrow` touches a column from its side."""
        if column > len(self.cell):  # the arrows to the output arrive as one
            return self.centres[column]
        order = self.ports[column, arrow.side]
        return self.centres[column] + PORT * (order.index(arrow) - (len(order) - 1) / 2)


def _name_width(text: str) -> float:
    return text_width(text, NAME_SIZE) + 0.2


def _height(arrow: Arrow) -> float:
    return arrow.side * (FIRST + PITCH * (arrow.lane - 1))


def _inputs(grid: _Grid, arrows: list[Arrow]) -> Iterator[Box]:
    """Inputs are as tall as their arrows are apart, so that these leave straight to the right."""
    texts = INPUTS[grid.space]
    for state, text in enumerate(texts):
        rest = FIRST * (1 - 2 * state) if len(texts) == 2 else 0.0
        heights = [_height(arrow) for arrow in arrows if arrow.source == state] or [rest]
        low, high = min(heights) - HALF, max(heights) + HALF
        yield Box(0.0, (low + high) / 2, grid.widths[0], high - low, text, "input")


def _states(grid: _Grid) -> Iterator[Box]:
    for column, text in enumerate(grid.texts, start=1):
        kind = "node" if column < len(grid.texts) else "output"
        if column <= len(grid.cell) and not grid.cell[column - 1]:
            kind = "empty"
        yield Box(grid.centres[column], 0.0, grid.widths[column], 2 * HALF, text, kind)


def _wires(grid: _Grid, arrows: list[Arrow]) -> Iterator[Wire]:
    merging = next((arrow for arrow in arrows if not arrow.operation and arrow.side), None)
    for arrow in arrows:
        text = grid.named(arrow.operation) if arrow.operation else ""
        if arrow is merging:
            text = MERGES[grid.space]
        name = None
        if text:
            x = grid.left(arrow.end) - grid.gap / 2
            name = Box(x, _height(arrow), _name_width(text), PILL, text, "name")
        yield Wire(arrow.operation, _corners(grid, arrow), name)


def _corners(grid: _Grid, arrow: Arrow) -> tuple[Point, ...]:
    y, edge = _height(arrow), arrow.side * HALF
    if not arrow.side:
        return (grid.right(arrow.start), 0.0), (grid.left(arrow.end), 0.0)
    end = grid.port(arrow.end, arrow)
    if arrow.start == 0:
        return (grid.right(0), y), (end, y), (end, edge)
    start = grid.port(arrow.start, arrow)
    return (start, edge), (start, y), (end, y), (end, edge)
