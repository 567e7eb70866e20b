"""The wiring of a cell under way: which edges carry an operation, how wide and deep it is.

Xie et al., "Understanding the wiring evolution in differentiable neural architecture search",
AISTATS 2021, arXiv:2009.01272: a cell is looked at by the best operation of every edge, *none*
among them, whatever the rule that derives from it.
"""

from typing import NamedTuple

from torch import Tensor

from lnas.spaces.base import SearchSpace

NONE = "none"


class Wiring(NamedTuple):
    """Numbers of a cell's wiring.

    Args:
        active: Edges whose best operation is not *none*.
        from_inputs: Those of them that read an input of the cell.
        between_nodes: Those of them that read a node.
        width: Nodes that read an input.
        depth: Most active edges in a row, from an input on.
    """

    active: int
    from_inputs: int
    between_nodes: int
    width: int
    depth: int


def active_edges(space: SearchSpace, gates: Tensor) -> list[bool]:
    """Return whether the best operation of each edge is one, not *none* and not closed.

    Args:
        space: The space.
        gates: Noise-free gates of one cell type, (edges, ops).
    """
    best = gates.detach().cpu().max(-1)
    none = space.operations.index(NONE) if NONE in space.operations else -1
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [column != none and value > 0 for column, value in pairs]


def wiring_of(space: SearchSpace, active: list[bool]) -> Wiring:
    """Return the numbers of a cell.

    Args:
        space: The space.
        active: Whether each edge carries an operation; see `active_edges`.
    """
    edges = [edge for edge, is_active in zip(space.edges, active, strict=True) if is_active]
    reading = [edge for edge in edges if edge.source < space.inputs]
    depth = dict.fromkeys(range(space.inputs), 0)
    for target, source in edges:  # sources come before their targets
        if source in depth:
            depth[target] = max(depth.get(target, 0), depth[source] + 1)
    width = len({edge.target for edge in reading})
    return Wiring(len(edges), len(reading), len(edges) - len(reading), width, max(depth.values()))
