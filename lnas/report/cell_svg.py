"""A cell as inline SVG: the geometry of `lnas.visualize.layout`, the colours of the page.

The page's style sheet gives states, names and paper their colours, so that one drawing serves light
and dark; operations have the colours of their families everywhere.
"""

import re
from html import escape

from lnas.genotype import Genotype
from lnas.report.heat import plain
from lnas.visualize.layout import INPUTS, Box, CellLayout, Point, Wire, lay_out
from lnas.visualize.palette import QUIET, TITLES, family, label

INCH = 96.0  # CSS pixels
MARGIN = 6.0
ARROW, CORNER = 10.0, 14.0
SUBSCRIPT = re.compile(r"(\w)_(?:\{([^}]*)\}|(\w))")


def cell_svg(genotype: Genotype, cell_type: str) -> str:
    """Return the drawing of one cell as an `<svg>` element that names itself to screen readers."""
    layout = lay_out(genotype, cell_type)
    left, _, right, top = layout.bounds
    bottom = layout.bounds[1]
    width, height = (right - left) * INCH + 2 * MARGIN, (top - bottom) * INCH + 2 * MARGIN

    def place(point: Point) -> Point:
        x, y = point
        return (x - left) * INCH + MARGIN, (top - y) * INCH + MARGIN

    parts = [_wire(wire, [place(point) for point in wire.points]) for wire in _ordered(layout)]
    parts += [_state(box, place((box.x, box.y))) for box in layout.boxes]
    parts += [_name(wire, place((wire.name.x, wire.name.y))) for wire in layout.wires if wire.name]
    said = escape(description(genotype, cell_type))
    return (
        f'<svg class="cell" role="img" aria-label="{said}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">{"".join(parts)}</svg>'
    )


def description(genotype: Genotype, cell_type: str) -> str:
    """Return the cell in words."""
    inputs = [plain(name) for name in INPUTS[genotype.space]]

    def state(number: int) -> str:
        if number < len(inputs):
            return inputs[number]
        return f"node {number - genotype.first_node}"

    nodes: dict[int, list[str]] = {}
    for node, source, operation in genotype.edges(cell_type):
        nodes.setdefault(node, []).append(f"{label(operation)} of {state(source)}")
    words = "; ".join(f"{state(node)}: {', '.join(inputs)}" for node, inputs in nodes.items())
    return f"{TITLES.get(cell_type, 'cell').capitalize()}. {words or 'No operation'}."


def _ordered(layout: CellLayout) -> list[Wire]:
    """Return quiet arrows first, so that they lie below."""
    return sorted(layout.wires, key=lambda wire: bool(wire.operation))


def _wire(wire: Wire, points: list[Point]) -> str:
    (x0, y0), (x1, y1) = points[-2:]
    length = abs(x1 - x0) + abs(y1 - y0)  # the last stretch is horizontal or vertical
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    base = (x1 - dx * ARROW, y1 - dy * ARROW)
    path = _rounded([*points[:-1], base])
    colour = family(wire.operation).colour if wire.operation else QUIET
    half = ARROW / 2
    head = " ".join(
        f"{x:.1f},{y:.1f}"
        for x, y in (
            (x1, y1),
            (base[0] - dy * half, base[1] + dx * half),
            (base[0] + dy * half, base[1] - dx * half),
        )
    )
    thick = 2.6 if wire.operation else 1.8
    return (
        f'<path class="rim" d="{path}" stroke-width="{thick + 4}"/>'
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{thick}"/>'
        f'<polygon points="{head}" fill="{colour}"/>'
    )


def _rounded(points: list[Point]) -> str:
    """Return the path through the points, alternately horizontal and vertical, with round bends."""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        start, end = _towards(corner, before), _towards(corner, after)
        path += f"L{start[0]:.1f} {start[1]:.1f}Q{corner[0]:.1f} {corner[1]:.1f}"
        path += f" {end[0]:.1f} {end[1]:.1f}"
    return f"{path}L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def _towards(point: Point, other: Point) -> Point:
    length = max(abs(other[0] - point[0]), abs(other[1] - point[1]), 1e-9)
    step = min(CORNER, length / 2) / length
    return point[0] + step * (other[0] - point[0]), point[1] + step * (other[1] - point[1])


def _state(box: Box, centre: Point) -> str:
    return f'<g class="state {box.kind}">{_rect(box, centre, 8.0)}{_text(box.text, centre)}</g>'


def _name(wire: Wire, centre: Point) -> str:
    assert wire.name is not None
    radius = wire.name.height * INCH / 2
    paper = _rect(wire.name, centre, radius, 'class="paper"')
    if not wire.operation:
        return f'<g class="merge">{paper}{_text(wire.name.text, centre)}</g>'
    colour = family(wire.operation).colour
    tinted = f'fill="{colour}" fill-opacity="0.16" stroke="{colour}" stroke-width="1.4"'
    face = _rect(wire.name, centre, radius, tinted)
    return f'<g class="name">{paper}{face}{_text(wire.name.text, centre)}</g>'


def _rect(box: Box, centre: Point, radius: float, style: str = "") -> str:
    width, height = box.width * INCH, box.height * INCH
    x, y = centre[0] - width / 2, centre[1] - height / 2
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="{radius:.1f}" {style}/>'
    )


def _text(text: str, centre: Point) -> str:
    """Return a text; what stands between dollars is mathematics with subscripts."""
    content = escape(text)
    if text.startswith("$"):
        content = ""
        rest = text.strip("$").replace("\\,", " ")
        while found := SUBSCRIPT.search(rest):
            below = (found[2] or found[3]).replace("-", "−")
            content += escape(rest[: found.start()])
            content += f'<tspan font-style="italic">{escape(found[1])}</tspan>'
            content += (
                f'<tspan class="sub" dy="4">{escape(below)}</tspan><tspan dy="-4">\u200b</tspan>'
            )
            rest = rest[found.end() :]
        content += escape(rest)
    return f'<text x="{centre[0]:.1f}" y="{centre[1]:.1f}">{content}</text>'
