"""Edge batches: the fused path with few launches, for devices where a launch costs more than work.

On a GPU the search step waits for kernels to be launched, not for their arithmetic. So one kind of
operation is computed for all edges that leave a state at once: its convolutions are grouped ones of
edges * C channels, its normalisations have so many channels; weights, gates and running averages
of a cell move together. A CPU is slower that way, for the images leave its cache.

Numbers are those of the reference path up to rounding. What is not known here (running statistics,
affine normalisations, operations of one's own) is left to the fused path's way through one edge.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from lnas.supernet.batches import Batch, give_gates, grouped, join_weights, moments_of
from lnas.supernet.edge_sum import by_edge, edge_sum
from lnas.supernet.plan import Plan, Term
from lnas.supernet.sources import Source

if TYPE_CHECKING:
    from lnas.supernet.edges import SearchEdges

_chosen: bool | None = None


def batches_edges(like: Tensor) -> bool:
    """Whether edges are batched: not on CPUs, unless `edge_batching` says otherwise."""
    return like.device.type != "cpu" if _chosen is None else _chosen


@contextmanager
def edge_batching(on: bool) -> Iterator[None]:
    """Batch edges within the block or do not, whatever the device."""
    global _chosen
    before, _chosen = _chosen, on
    try:
        yield
    finally:
        _chosen = before


@dataclass
class _Bundle:
    """What is added to one set of nodes."""

    plain: list[Tensor] = field(default_factory=list)
    gates: list[Tensor] = field(default_factory=list)
    shared: list[Tensor] = field(default_factory=list)


class EdgeBatches:
    """All batches of a pass through a cell.

    Args:
        edges: The edges of the cell.
        plan: Its terms, by source.
        gates: Gate of each operation times the weight of its edge, (edges, ops).
        factors: Factor of each operation's output for each image, (edges, ops, N), or None.
        channels: How many channels operations read.

    Attributes:
        left: By source, the terms that are not known here.
    """

    def __init__(
        self,
        edges: "SearchEdges",
        plan: Plan,
        gates: Tensor,
        factors: Tensor | None,
        channels: int,
    ) -> None:
        self.factors = factors
        self.left: list[tuple[Term, ...]] = []
        self.batches: list[list[Batch]] = []
        for terms in plan:
            batches, left = grouped(edges, terms)
            self.batches.append(batches)
            self.left.append(tuple(left))
        every = [batch for batches in self.batches for batch in batches]
        convolutions = [batch for batch in every if not batch.shared]
        join_weights(convolutions)
        give_gates(every, convolutions, gates, channels)
        self.moments = moments_of(every, channels)

    def take(self, number: int, source: Source) -> Iterator[tuple[int, Tensor]]:
        """Yield what follows from a state, (N, C, H, W), with the node that it is added to.

        Behind the last state the running averages move.
        """
        bundles: defaultdict[tuple[int, ...], _Bundle] = defaultdict(_Bundle)
        for batch in self.batches[number]:
            bundle = bundles[tuple(term.target for term in batch.terms)]
            if batch.shared:
                factors = self._factors(batch)
                bundle.gates.append(batch.gates if factors is None else batch.gates * factors)
                bundle.shared.append(self._shared(source, batch))
            else:
                bundle.plain.append(self._convolved(source, batch))
        for targets, bundle in bundles.items():
            summed = edge_sum(len(targets), bundle.plain, bundle.gates, bundle.shared)
            yield from zip(targets, summed.unbind(1), strict=True)
        if number == len(self.batches) - 1 and self.moments is not None:
            self.moments.move()

    def _factors(self, batch: Batch) -> Tensor | None:
        """Return the factors of the images, (N, edges)."""
        if self.factors is None:
            return None
        return torch.stack([self.factors[term.row, term.column] for term in batch.terms], 1)

    def _shared(self, source: Source, batch: Batch) -> Tensor:
        """Return what the operations make of a state, the same on all edges."""
        if batch.kind == "identity":
            return source.state
        pooled = source.pool(batch.operations[0].kind, batch.operations[0].stride)
        return self._normalized(pooled, batch, 0) if batch.stages else pooled

    def _convolved(self, source: Source, batch: Batch) -> Tensor:
        """Return the weighed output of the operations on all edges, (N, edges * C, H, W)."""
        edges, weights, first = len(batch.terms), batch.weights, batch.operations[0]
        if batch.kind == "dense":
            y = functional.conv2d(source.relu, weights[0], padding=first.kernel // 2)
        elif batch.kind == "reduce":
            halves = [
                by_edge(functional.conv2d(pixels, weight), edges)
                for pixels, weight in zip((source.even, source.odd), weights, strict=True)
            ]
            y = torch.cat(halves, 2).flatten(1, 2)
        else:
            dilation = 2 if batch.kind == "dilated" else 1
            y = _depthwise(source.repeated(edges), weights[0], first.stride, dilation)
            y = functional.conv2d(y, weights[1], groups=edges)
        if batch.kind == "separable":
            y = functional.relu(self._normalized(y, batch, 0), inplace=True)
            y = functional.conv2d(_depthwise(y, weights[2]), weights[3], groups=edges)
        y = self._normalized(y, batch, -1, batch.gates)
        factors = self._factors(batch)
        if factors is None:
            return y
        wide = by_edge(y, edges)
        return (wide * factors.to(y.dtype).view(len(y), edges, 1, 1, 1)).flatten(1, 2)

    def _normalized(
        self, x: Tensor, batch: Batch, stage: int, scale: Tensor | None = None
    ) -> Tensor:
        layers = batch.stages[stage]
        mean = variance = None
        if any(layer.mode == "update" for layer in layers):
            assert self.moments is not None
            mean, variance = self.moments.take(layers, x.shape[1], batch.biases)
        shift = None if scale is None else batch.shift
        # At the rate of 1 what is left in the averages are the moments of this batch.
        return functional.batch_norm(x, mean, variance, scale, shift, True, 1.0, layers[0].eps)


def _depthwise(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    padding = dilation * (weight.shape[-1] // 2)
    return functional.conv2d(x, weight, None, stride, padding, dilation, len(weight))
