"""The reference path: one operation of one edge at a time, as the papers write it.

Equation 2 of DARTS (arXiv:1806.09055) with any gates: a node is the sum over its edges of
edge weight * sum_o gate[edge, o] * o(source). It knows every operation, has derivatives of every
order, and is what the fused path is tested against.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lnas.relaxations import CellGates
from lnas.supernet.partial import around, join, split

if TYPE_CHECKING:
    from lnas.supernet.edges import SearchEdges


def reference_states(
    edges: "SearchEdges", inputs: list[Tensor], gates: CellGates, norms: nn.ModuleDict | None
) -> list[Tensor]:
    """Compute the states of a cell; see `SearchEdges.forward`."""
    space, states = edges.space, list(inputs)
    for node in range(space.inputs, space.inputs + space.nodes):
        rows = space.incoming(node)
        terms = []
        for row in rows:
            output = edge_output(edges, row, states[space.edges[row].source], gates)
            if output is not None:
                terms.append(output)
        source, stride = states[space.edges[rows[0]].source], edges.strides[rows[0]]
        states.append(normalized(norms, node, total(terms)) if terms else empty(source, stride))
    return states


def edge_output(edges: "SearchEdges", row: int, x: Tensor, gates: CellGates) -> Tensor | None:
    """Return the output of one edge, or None if none of its operations is active.

    Args:
        edges: The edges of the cell.
        row: Row of the edge.
        x: State that the edge reads, (N, C, H, W).
        gates: The gates of this cell.
    """
    if gates.active is not None and not gates.active[row].any():
        return None
    parts = edges.extras.partial_channels
    if parts == 1:
        output = mixed_operations(edges, row, x, gates)
    else:
        first, rest = split(x, parts)
        mixed = mixed_operations(edges, row, first, gates)
        output = join(mixed, around(rest, edges.strides[row]), parts)
    if output is not None and gates.edges is not None:
        output = gates.edges[row] * output
    return output


def mixed_operations(edges: "SearchEdges", row: int, x: Tensor, gates: CellGates) -> Tensor | None:
    """Return the weighted sum of an edge's active operations, or None if there is none.

    An inactive operation is not computed: its weights get no gradient, its statistics stand still.
    """
    operations = edges.operations(row)
    mixed: Tensor | None = None
    for column, name in enumerate(edges.names):
        if name not in operations or (gates.active is not None and not gates.active[row, column]):
            continue
        term = gates.gates[row, column] * operations[name](x)
        if gates.factors is not None:
            term = gates.factors[row, column].to(term.dtype).view(-1, 1, 1, 1) * term
        mixed = term if mixed is None else mixed + term
    return mixed


def total(terms: list[Tensor]) -> Tensor:
    """Return the sum of one or more terms."""
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result


def normalized(norms: nn.ModuleDict | None, node: int, x: Tensor) -> Tensor:
    """Return the sum of a node, normalised where nodes are."""
    if norms is None:
        return x
    state: Tensor = norms[str(node)](x)
    return state


def empty(source: Tensor, stride: int) -> Tensor:
    """Return a node without a term: zeros of the size that `source` has after `stride`.

    It is not normalised, so that running averages which fit other inputs cannot fill it.
    """
    return torch.zeros_like(source[:, :, ::stride, ::stride])
