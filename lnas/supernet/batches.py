"""Batches: which operations of a cell are computed for several edges at once, and with what.

Operations that leave one state and are alike in all but their weights make a batch. What they need
is prepared for the whole cell, so that it costs a call per kind of tensor and not one per edge.
"""

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lnas.operations import BatchNorm2d
from lnas.supernet.packing import Moments, joined, picked
from lnas.supernet.plan import Term

if TYPE_CHECKING:
    from lnas.supernet.edges import SearchEdges

_PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "identity": ((), ()),
    "pool": ((), ("bn",)),
    "separable": (("dw1", "pw1", "dw2", "pw2"), ("bn1", "bn2")),
    "dilated": (("dw1", "pw1"), ("bn1",)),
    "reduce": (("conv1", "conv2"), ("bn1",)),
    "dense": (("conv1",), ("bn1",)),
}
"""Convolutions and normalisations of each kind of operation, in the order of their use."""


@dataclass(eq=False)
class Batch:
    """One operation on edges that leave one state.

    Args:
        terms: Its terms, each with a target of its own.
        operations: Their modules, all alike.
        stages: For each normalisation, the layers of all edges.
        weights: For each convolution, the weights of all edges, joined.
        gates: The gates, (edges,); of convolutions as scales, (edges * C,).
        shift: Zeros that stand for biases which the normalisation takes away, (edges * C,).
    """

    terms: list[Term] = field(default_factory=list)
    operations: list[Any] = field(default_factory=list)
    stages: list[list[BatchNorm2d]] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    gates: Tensor = field(default_factory=lambda: torch.empty(0))
    shift: Tensor | None = None

    @property
    def kind(self) -> str:
        """How the operations are computed."""
        return self.terms[0].kind

    @property
    def shared(self) -> bool:
        """Whether the operations have no weights, so that their output is the same on all edges."""
        return not _PARTS[self.kind][0]

    @property
    def biases(self) -> list[Tensor]:
        """The biases of dense convolutions, if they have any."""
        if self.kind != "dense" or self.operations[0].conv1.bias is None:
            return []
        return [operation.conv1.bias for operation in self.operations]


def grouped(edges: "SearchEdges", terms: tuple[Term, ...]) -> tuple[list[Batch], list[Term]]:
    """Return the batches of the terms that read one state, and what cannot be batched."""
    batches: defaultdict[Hashable, Batch] = defaultdict(Batch)
    left = []
    for term in terms:
        operation = edges.operations(term.row)[term.name]
        key, norms = _likeness(term, operation)
        if key is None:
            left.append(term)
            continue
        batch = batches[key]
        batch.terms.append(term)
        batch.operations.append(operation)
        batch.stages = batch.stages or [[] for _ in norms]
        for stage, norm in zip(batch.stages, norms, strict=True):
            stage.append(norm)
    return list(batches.values()), left


def _likeness(term: Term, operation: Any) -> tuple[Hashable, list[BatchNorm2d]]:
    """Return what operations that are batched have in common, or None; and normalisations."""
    if term.kind not in _PARTS:
        return None, []
    given = [getattr(operation, name) for name in _PARTS[term.kind][1]]
    norms: list[BatchNorm2d] = [norm for norm in given if norm is not None]
    for norm in norms:
        if norm.mode == "running" or norm.affine or norm.running_mean is None:
            return None, []
    stride = getattr(operation, "stride", 1)
    if term.kind == "dense" and stride != 1:
        return None, []
    biased = term.kind == "dense" and operation.conv1.bias is not None
    details = getattr(operation, "kernel", None), stride, biased, tuple(norm.eps for norm in norms)
    return (term.name, term.kind, *details), norms


def join_weights(batches: list[Batch]) -> None:
    """Give the batches their weights, and zeros in the place of biases that want a gradient."""
    groups = [
        (batch, [getattr(operation, name).weight for operation in batch.operations])
        for batch in batches
        for name in _PARTS[batch.kind][0]
    ]
    for (batch, _), weight in zip(groups, joined([group for _, group in groups]), strict=True):
        batch.weights.append(weight)
    biased = [batch for batch in batches if any(bias.requires_grad for bias in batch.biases)]
    if biased and torch.is_grad_enabled():
        # Normalisation takes a bias away: its gradient is exactly 0, and not none.
        nothing = torch.cat([bias for batch in biased for bias in batch.biases]) * 0.0
        sizes = [sum(map(len, batch.biases)) for batch in biased]
        for batch, shift in zip(biased, torch.split(nothing, sizes), strict=True):
            batch.shift = shift


def give_gates(every: list[Batch], convolutions: list[Batch], gates: Tensor, channels: int) -> None:
    """Give convolutions their gates as scales of the last normalisation, others as they are."""
    columns = gates.shape[1]

    def places(batch: Batch) -> list[int]:
        return [term.row * columns + term.column for term in batch.terms]

    others = [batch for batch in every if batch.shared]
    scaled = [place for batch in convolutions for place in places(batch)]
    scales, *rest = picked(gates.flatten(), [scaled, *map(places, others)])
    for batch, own in zip(others, rest, strict=True):
        batch.gates = own
    if convolutions:
        # Contiguous scales: see BatchNorm2d.
        wide = scales[:, None].expand(-1, channels).contiguous().flatten()
        sizes = [len(batch.terms) * channels for batch in convolutions]
        for batch, own in zip(convolutions, torch.split(wide, sizes), strict=True):
            batch.gates = own


def moments_of(batches: list[Batch], channels: int) -> Moments | None:
    """Return room for the moments of all layers that move their averages; None if none does."""
    moving = [
        (batch, layers[0])
        for batch in batches
        for layers in batch.stages
        if any(layer.mode == "update" for layer in layers)
    ]
    if not moving:
        return None
    (_, first), *_ = moving
    assert first.running_mean is not None
    each = [1 if batch.shared else len(batch.terms) for batch, _ in moving]
    return Moments(first.running_mean, sum(each) * channels)
