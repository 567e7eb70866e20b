from itertools import combinations, product

import pytest

from lnas.genotype import Genotype
from lnas.spaces import zoo
from lnas.visualize.layout import lay_out

PUBLISHED = [(name, kind) for name in zoo.names() for kind in zoo.load(name).cells]


def _full_cell(nodes=4):
    names = ("sep_conv_3x3", "dil_conv_5x5", "max_pool_3x3", "skip_connect")
    return [[(names[(i + j) % 4], j) for j in range(i + 2)] for i in range(nodes)]


EVERY_EDGE = Genotype("darts", {"normal": _full_cell(), "reduce": _full_cell(7)})
GAPS = Genotype(
    "darts",
    {
        "normal": [[("skip_connect", 0)], [], [("max_pool_3x3", 1), ("sep_conv_3x3", 2)], []],
        "reduce": [[], [], [], []],
    },
)
CELL_201 = Genotype(
    "nasbench201",
    {
        "cell": [
            [("nor_conv_3x3", 0)],
            [("nor_conv_1x1", 1), ("skip_connect", 0)],
            [("avg_pool_3x3", 0), ("nor_conv_1x1", 1), ("nor_conv_3x3", 2)],
        ]
    },
)
CASES = [
    *((zoo.load(name), kind) for name, kind in PUBLISHED),
    (EVERY_EDGE, "normal"), (EVERY_EDGE, "reduce"), (GAPS, "normal"), (GAPS, "reduce"),
    (CELL_201, "cell"),
]  # fmt: skip
IDS = [
    *map("-".join, PUBLISHED),
    "every-edge", "every-edge-of-7-nodes", "gaps", "no-edge", "nasbench201",
]  # fmt: skip


def _meet(a, b, margin=0.0):
    """Whether two (left, bottom, right, top) rectangles come nearer than `margin` inches."""
    apart = a[2] + margin <= b[0] or b[2] + margin <= a[0]
    return not (apart or a[3] + margin <= b[1] or b[3] + margin <= a[1])


def _stretches(wire):
    for (x0, y0), (x1, y1) in zip(wire.points, wire.points[1:], strict=False):
        yield min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


@pytest.mark.parametrize(("genotype", "kind"), CASES, ids=IDS)
def test_names_keep_clear_of_names_states_and_other_arrows(genotype, kind):
    layout = lay_out(genotype, kind)
    named = [wire for wire in layout.wires if wire.name]
    for a, b in combinations(named, 2):
        assert not _meet(a.name.bounds, b.name.bounds, 0.05)
    for wire, box in product(named, layout.boxes):
        assert not _meet(wire.name.bounds, box.bounds, 0.05)
    for wire, other in product(named, layout.wires):
        # The arrows into the output are one line in the picture; its name is on all of them.
        if other is not wire and (wire.operation or other.operation):
            assert not any(_meet(wire.name.bounds, s, 0.03) for s in _stretches(other))


@pytest.mark.parametrize(("genotype", "kind"), CASES, ids=IDS)
def test_arrows_cross_no_state_and_never_run_along_each_other(genotype, kind):
    layout = lay_out(genotype, kind)
    for a, b in combinations(layout.boxes, 2):
        assert not _meet(a.bounds, b.bounds, 0.05)
    for wire, box in product(layout.wires, layout.boxes):
        left, bottom, right, top = box.bounds
        inner = (left + 0.01, bottom + 0.01, right - 0.01, top - 0.01)
        assert not any(_meet(inner, stretch) for stretch in _stretches(wire))
    for a, b in combinations([w for w in layout.wires if w.operation], 2):
        for s, t in product(_stretches(a), _stretches(b)):
            parallel = (s[0] == s[2]) == (t[0] == t[2])
            assert not (parallel and _meet(s, t, 0.08))


@pytest.mark.parametrize(("genotype", "kind"), CASES, ids=IDS)
def test_each_connection_is_one_arrow_between_its_states(genotype, kind):
    layout = lay_out(genotype, kind)
    inputs = genotype.first_node
    states = [box for box in layout.boxes if box.kind == "input"]
    states += sorted((b for b in layout.boxes if b.kind != "input"), key=lambda box: box.x)
    drawn = []
    for wire in layout.wires:
        if not wire.operation:
            continue
        ends = []
        for x, y in (wire.points[0], wire.points[-1]):
            point = (x, y, x, y)
            (touched,) = [i for i, box in enumerate(states) if _meet(point, box.bounds, 1e-9)]
            ends.append(touched)
        drawn.append((ends[1], ends[0], wire.operation))
    assert sorted(drawn) == sorted(genotype.edges(kind))
    order = [box.x for box in states[inputs:]]
    assert order == sorted(order)
    assert all(order[0] > box.x for box in states[:inputs])
