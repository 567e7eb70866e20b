"""Plans: which work of a cell the fused path shares, decided once per structure and mask.

A plan holds names and numbers, no modules, so that all cells of a type share it. What an operation
is must be known exactly: a subclass, a replaced normalisation or a hook makes it `other`, and
`other` is computed by the operation itself.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from lnas.operations import BatchNorm2d
from lnas.operations.convolutional import DilatedConv, Pool, ReLUConv, SeparableConv
from lnas.operations.depthwise import DepthwiseConv2d
from lnas.operations.reduction import FactorizedReduce

if TYPE_CHECKING:
    from lnas.supernet.edges import SearchEdges

_KINDS: dict[type[nn.Module], tuple[str, tuple[str, ...]]] = {
    nn.Identity: ("identity", ()),
    Pool: ("pool", ("bn",)),
    SeparableConv: ("separable", ("bn1", "bn2")),
    DilatedConv: ("dilated", ("bn1",)),
    FactorizedReduce: ("reduce", ("bn1",)),
    ReLUConv: ("dense", ("bn1",)),
}


@dataclass(frozen=True)
class Term:
    """One operation on one edge.

    Args:
        row: Row of the edge.
        column: Column of the operation.
        target: State that the edge leads to.
        name: Name of the operation.
        kind: How it is computed; `other`: by itself.
    """

    row: int
    column: int
    target: int
    name: str
    kind: str


Plan = tuple[tuple[Term, ...], ...]
"""The active terms that read each state, by the number of the state."""


Active = tuple[tuple[bool, ...], ...] | None
"""Which operations of which edge are active, (edges, ops); None: all."""


def plan_of(edges: "SearchEdges", active: Active) -> Plan:
    """Return the plan of a cell under a mask of active operations (None: all)."""
    structure = tuple(
        tuple(
            (name, kind_of(operations[name])) if name in operations else None
            for name in edges.names
        )
        for operations in (edges.operations(row) for row in range(len(edges.space.edges)))
    )
    # A compiler traces what a cache keeps, once; and warns of caches.
    make = _plan.__wrapped__ if torch.compiler.is_compiling() else _plan
    return make(tuple(edges.space.edges), structure, active)


def kind_of(operation: nn.Module) -> str:
    """Return how the fused path computes an operation."""
    kind, norms = _KINDS.get(type(operation), ("other", ()))
    parts = (operation, *operation._modules.values())
    if not all(part is None or _as_built(part, kind == "dense") for part in parts):
        return "other"
    for name in norms:
        norm = operation._modules.get(name)
        if not (type(norm) is BatchNorm2d or (norm is None and kind == "pool")):
            return "other"
        if kind in ("pool", "dense") and norm is not None and norm.affine:
            return "other"
    return kind


def _as_built(part: nn.Module, biased: bool) -> bool:
    """Whether a module computes what its kind and its weight say, and nobody listens."""
    hooks = part._forward_hooks or part._forward_pre_hooks
    if hooks or part._backward_hooks or part._backward_pre_hooks:
        return False
    if not isinstance(part, nn.Conv2d):
        return True
    known = type(part) in (nn.Conv2d, DepthwiseConv2d) and part.padding_mode == "zeros"
    return known and (biased or part.bias is None)


@lru_cache(maxsize=64)
def _plan(
    edges: tuple[tuple[int, int], ...],
    structure: tuple[tuple[tuple[str, str] | None, ...], ...],
    active: Active,
) -> Plan:
    sources: list[list[Term]] = [[] for _ in range(max(source for _, source in edges) + 1)]
    for row, ((target, source), operations) in enumerate(zip(edges, structure, strict=True)):
        for column, known in enumerate(operations):
            if known is not None and (active is None or active[row][column]):
                sources[source].append(Term(row, column, target, *known))
    return tuple(map(tuple, sources))
