"""Plans: which work of a cell the fused path shares, decided once per structure and mask.

A plan holds names and numbers, no modules, so that all cells of a type share it. What an operation
is must be known exactly: a subclass, another convolution or normalisation in its place or a hook
makes it `other`, and `other` is computed by the operation itself.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

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
    convolutions = _convolutions(operation)
    if parts.keys() - norms != convolutions.keys() or not all(map(_usual, parts.values())):
        return "other"
    biased = kind == "dense"
    as_built = all(one.is_that_of(parts[name], biased) for name, one in convolutions.items())
    return kind if as_built else "other"


def _usual(part: nn.Module | None) -> bool:
    """Whether a module computes what its class says, and nobody listens."""
    if part is None:
        return True
    hooks = part._forward_hooks or part._forward_pre_hooks
    listened = hooks or part._backward_hooks or part._backward_pre_hooks
    return not listened and "forward" not in vars(part)


def _convolutions(operation: nn.Module) -> dict[str, "_Convolution"]:
    """Return the convolutions of an operation as they were built."""
    if isinstance(operation, FactorizedReduce):
        c = operation.bn1.num_features
        return dict.fromkeys(("conv1", "conv2"), _Convolution(nn.Conv2d, c, c // 2, 1))
    if not isinstance(operation, SeparableConv | DilatedConv | ReLUConv):
        return {}
    c, k, stride = operation.bn1.num_features, operation.kernel, operation.stride
    if isinstance(operation, ReLUConv):
        return {"conv1": _Convolution(nn.Conv2d, c, c, k, stride)}
    pointwise = _Convolution(nn.Conv2d, c, c, 1)
    if isinstance(operation, DilatedConv):
        return {"dw1": _Convolution(DepthwiseConv2d, c, c, k, stride, 2), "pw1": pointwise}
    first, second = (_Convolution(DepthwiseConv2d, c, c, k, s) for s in (stride, 1))
    return {"dw1": first, "pw1": pointwise, "dw2": second, "pw2": pointwise}


class _Convolution(NamedTuple):
    """A 'same' convolution of all channels, or of each by itself."""

    kind: type[nn.Conv2d]
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    dilation: int = 1

    def is_that_of(self, part: nn.Module | None, biased: bool) -> bool:
        """Whether a module is this one; `biased`: it may have a bias."""
        if not isinstance(part, nn.Conv2d) or type(part) is not self.kind:
            return False
        groups = self.inputs if self.kind is DepthwiseConv2d else 1
        pad = self.dilation * (self.kernel - 1) // 2
        sides = part.kernel_size, part.stride, part.dilation, part.padding
        return (
            (part.in_channels, part.out_channels, part.groups)
            == (self.inputs, self.outputs, groups)
            and sides == tuple((n, n) for n in (self.kernel, self.stride, self.dilation, pad))
            and part.padding_mode == "zeros"
            and (biased or part.bias is None)
        )


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
