"""Which terms of all edges that leave a state the compiled kernels can do, and their averages."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from lnas import kernels
from lnas.operations.convolutional import Pool, ReLUConv
from lnas.operations.normalization import move_by_moments
from lnas.supernet.plan import Term

Terms = Sequence[tuple[nn.Module, kernels.Gated]]
"""Operations of one edge, and what they are weighed by."""


class CompiledEdges:
    """The compiled kernels for dense convolutions and what is summed up with them.

    Args:
        like: A state of the cell.
        channels: How many of its channels the operations read.
    """

    def __init__(self, like: Tensor, channels: int) -> None:
        self.there = kernels.supports(like, channels)
        self.kind = like.dtype

    def known(
        self, terms: Iterable[Term], operation: Callable[[Term], nn.Module]
    ) -> frozenset[Term]:
        """Return the terms that can be handed over; none if there is no convolution among them.

        Args:
            terms: What reads a state.
            operation: Gives the module of a term.
        """
        if not self.there:
            return frozenset()
        found, taken = set(), set[tuple[int, str]]()
        for term in terms:
            place = term.row, term.kind
            if not _known(term.kind, operation(term), self.kind):
                continue
            # One skip and one average of an edge; an auxiliary skip is a second one.
            if term.kind == "dense" or place not in taken:
                found.add(term)
                taken.add(place)
        return frozenset(found if any(term.kind == "dense" for term in found) else ())

    def __call__(
        self, x: Tensor, edges: Sequence[Terms], before: Sequence[Tensor | None]
    ) -> list[Tensor]:
        """Return the weighted sum of each edge, and move running averages.

        Args:
            x: The state that the edges read, (N, C, H, W).
            edges: For each edge what `known` accepted.
            before: For each edge what else is summed up.
        """
        given = [_edge(terms, other) for terms, other in zip(edges, before, strict=True)]
        outputs, moments = kernels.dense_edges(x, given)
        dense = [one for terms in edges for one, _ in terms if isinstance(one, ReLUConv)]
        biases = [one.conv1.bias for one in dense]
        examples = x.numel() // x.shape[1]
        move_by_moments([one.bn1 for one in dense], moments, examples, x.dtype, biases)
        return outputs


def _known(kind: str, operation: nn.Module, dtype: torch.dtype) -> bool:
    if isinstance(operation, ReLUConv):
        fits = operation.kernel in (1, 3) and operation.stride == 1
        fits = fits and operation.conv1.weight.dtype == dtype
        return kind == "dense" and fits and operation.bn1.mode != "running"
    if isinstance(operation, Pool):
        plain = operation.bn is None and operation.stride == 1
        return kind == "pool" and plain and operation.kind == "avg"
    return kind == "identity"


def _edge(terms: Terms, before: Tensor | None) -> kernels.Edge:
    edge = kernels.Edge(before=before)
    for operation, gated in terms:
        if isinstance(operation, ReLUConv):
            conv = operation.conv1
            edge.dense.append((kernels.Dense(conv.weight, operation.bn1.eps, conv.bias), gated))
        elif isinstance(operation, Pool):
            edge.pool = gated
        else:
            edge.skip = gated
    return edge
