"""Which NAS-Bench-201 cells are the same network: the classes of Dong and Yang, arXiv:2001.00326.

A cell is written as an expression: a node is the sum of its inputs, a skip-connection stands for
its source, *none* and any operation on a source that is *none* are zero. Cells with the same
expression compute the same function once their weights are matched; the 15,625 cells have 6,466
expressions. As in the benchmark's own definition the zero terms of a sum are kept, so that some
cells that compute the same function are counted twice.
"""

from functools import lru_cache
from itertools import product

from lnas.genotype.model import Genotype
from lnas.genotype.vocabulary import known_operations

_EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))  # (node, source)
_Carried = tuple[str, ...]  # the operation of each edge


def representative(genotype: Genotype) -> Genotype:
    """Return the first cell with the same expression, counting through the table of operations."""
    carried = {(node, source): name for node, source, name in genotype.edges("cell")}
    names = tuple(carried.get(edge, "none") for edge in _EDGES)
    expression = _expression(names)
    needed = tuple(name for name in known_operations("nasbench201") if f"@{name}." in expression)
    return _cell(_first_cells(needed)[expression])


def _expression(names: _Carried) -> str:
    states = {0: "0"}
    for node in (1, 2, 3):
        terms = []
        for (target, source), name in zip(_EDGES, names, strict=True):
            if target != node:
                continue
            if name == "none" or states[source] == "#":
                terms.append("#")
            elif name == "skip_connect":
                terms.append(states[source])
            else:
                terms.append(f"({states[source]})@{name}.")
        states[node] = "+".join(sorted(terms))
    return states[3]


@lru_cache(maxsize=64)
def _first_cells(needed: tuple[str, ...]) -> dict[str, _Carried]:
    others = tuple(name for name in needed if name != "skip_connect")
    first: dict[str, _Carried] = {}
    for names in product(("none", "skip_connect", *others), repeat=len(_EDGES)):
        first.setdefault(_expression(names), names)
    return first


def _cell(names: _Carried) -> Genotype:
    nodes: list[list[tuple[str, int]]] = [[], [], []]
    for (node, source), name in zip(_EDGES, names, strict=True):
        if name != "none":
            nodes[node - 1].append((name, source))
    return Genotype("nasbench201", {"cell": nodes})
