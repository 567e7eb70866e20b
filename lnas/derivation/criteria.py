"""Selection criteria: how good each operation of each edge is, in the eyes of a finished search.

A criterion scores (edge, operation); `space.derive(scores)` turns the scores into a genotype by the
rule of the space. Criteria are pure: they change neither architecture nor supernet. An operation
that is closed, not offered, or not the one its edge is fixed to scores -inf: it is never chosen.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from lnas.relaxations import GateSample
from lnas.seeds import generator
from lnas.supernet import Architecture, Supernet


@dataclass(frozen=True)
class SelectionContext:
    """What a criterion may look at; it takes what it needs.

    Args:
        architecture: Logits, relaxation, and what is fixed or closed.
        supernet: The trained supernet.
        batches: `batches()` starts a pass over held-out batches (this rank's share).
        loss: `loss(sample, batch)` is the mean loss of a batch under given gates, in nats.
        seed: Seed of the run.
    """

    architecture: Architecture
    supernet: Supernet | None = None
    batches: Callable[[], Iterator[Any]] | None = None
    loss: Callable[[GateSample | Mapping[str, Tensor], Any], Tensor] | None = None
    seed: int = 0


class SelectionCriterion(ABC):
    """Scores the operations of each edge."""

    @abstractmethod
    def scores(self, context: SelectionContext) -> dict[str, Tensor]:
        """Return scores, (edges, ops) per cell type; larger is better, -inf is out of question."""


@final
class Magnitude(SelectionCriterion):
    """The noise-free gates themselves, as in DARTS (arXiv:1806.09055, section 2.4)."""

    def scores(self, context: SelectionContext) -> dict[str, Tensor]:
        """Return the magnitudes of the architecture."""
        return magnitudes(context.architecture)


@torch.no_grad()
def magnitudes(architecture: Architecture) -> dict[str, Tensor]:
    """Return the noise-free gates of what is open and -inf elsewhere, (edges, ops) per cell type.

    With edge normalisation they are multiplied by the edge's weight, as in PC-DARTS
    (arXiv:1907.05737). `space.derive` of them is the cell that a search would give now.
    """
    mask, edges, result = architecture.mask(), architecture.edge_weights(), {}
    for name, gates in architecture.probabilities().items():
        weighed = gates * edges[name][:, None] if name in edges else gates
        result[name] = weighed.masked_fill(~mask[name], -torch.inf)
    return result


@final
class RandomChoice(SelectionCriterion):
    """A random architecture: the baseline that a search has to beat (Li and Talwalkar, 2019).

    Under `StrongestInputs` each set of inputs of a node is equally likely, under either rule each
    allowed operation of a chosen edge is, all independently; so every genotype of the space is
    equally likely wherever the edges of a node offer equally many operations. Fixed edges outrank
    the others and keep their operation, as they do under `Magnitude`.

    Args:
        seed: Seed of the choice; the seed of the run counts too.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def scores(self, context: SelectionContext) -> dict[str, Tensor]:
        """Return rank of the edge + a number in [0, 1) for the operation, scaled to [0, 1).

        The rank of an edge does not depend on how many operations it offers or the rule excludes.
        """
        architecture = context.architecture
        result = {}
        for name, mask in architecture.mask().items():
            numbers = generator(self.seed, context.seed, "random choice", name)
            edges, operations = mask.shape
            rank = 1 + torch.randperm(edges, generator=numbers).double()
            preference = torch.rand(edges, operations, generator=numbers, dtype=torch.float64)
            rank += edges * (architecture.fixed.get_buffer(name).cpu() >= 0)
            scores = (rank[:, None] + preference) / (2 * edges + 1)
            result[name] = scores.masked_fill(~mask.cpu(), -torch.inf)
        return result
