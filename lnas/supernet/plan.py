"""Plans: which work of a cell the fused path shares, decided once per structure and mask.

A plan holds names and numbers, no modules, so that all cells of a type share it. What an operation
is must be known exactly: a subclass, another convolution or normalisation in its place or a hook
makes it `other`, and `other` is computed by the operation itself.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

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
    if kind == "other" or not _usual(operation):
        return "other"
    parts = operation._modules
    for name in norms:
        norm = parts.get(name)
        if not (type(norm) is BatchNorm2d or (norm is None and kind == "pool")):
            return "other"
        if kind in ("pool", "dense") and norm is not None and norm.affine:
            return "other"
    expected = _convolutions(kind, operation)
    if parts.keys() - norms != expected.keys():
        return "other"
    for name, wanted in expected.items():
        part = parts[name]
        if not isinstance(part, nn.Conv2d) or _convolution(part) != wanted:
            return "other"
        if part.bias is not None and kind != "dense":
            return "other"
    return kind if all(map(_usual, parts.values())) else "other"


def _usual(part: nn.Module | None) -> bool:
    """Whether a module computes what its class says, and nobody listens."""
    if part is None:
        return True
    hooks = part._forward_hooks or part._forward_pre_hooks
    listened = hooks or part._backward_hooks or part._backward_pre_hooks
    return not listened and "forward" not in part.__dict__


def _convolution(part: nn.Conv2d) -> tuple[object, ...]:
    """Return all that says what a convolution computes, its weight and bias apart."""
    channels = part.in_channels, part.out_channels, part.groups
    steps = part.kernel_size, part.stride, part.dilation, part.padding
    return type(part), *channels, *steps, part.padding_mode


def _convolutions(kind: str, operation: Any) -> dict[str, tuple[object, ...]]:
    """Return that of each convolution of an operation, as it was built."""
    if kind in ("identity", "pool"):
        return {}
    kernel = 1 if kind == "reduce" else operation.kernel
    make = _as_built.__wrapped__ if torch.compiler.is_compiling() else _as_built
    return make(kind, operation._modules["bn1"].num_features, kernel, operation.stride)


@lru_cache(maxsize=64)
def _as_built(
    operation: str, channels: int, kernel: int, stride: int
) -> dict[str, tuple[object, ...]]:
    def same(kind: type, outputs: int, k: int, stride: int, dilation: int) -> tuple[object, ...]:
        groups = channels if kind is DepthwiseConv2d else 1
        pad = dilation * (k - 1) // 2
        pairs = ((n, n) for n in (k, stride, dilation, pad))
        return kind, channels, outputs, groups, *pairs, "zeros"

    if operation == "reduce":
        return dict.fromkeys(("conv1", "conv2"), same(nn.Conv2d, channels // 2, 1, 1, 1))
    if operation == "dense":
        return {"conv1": same(nn.Conv2d, channels, kernel, stride, 1)}
    pointwise = same(nn.Conv2d, channels, 1, 1, 1)
    if operation == "dilated":
        return {"dw1": same(DepthwiseConv2d, channels, kernel, stride, 2), "pw1": pointwise}
    first, second = (same(DepthwiseConv2d, channels, kernel, s, 1) for s in (stride, 1))
    return {"dw1": first, "pw1": pointwise, "dw2": second, "pw2": pointwise}


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
