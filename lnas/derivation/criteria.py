"""Selection criteria: how good each operation of each edge is, in the eyes of a finished search.

A criterion scores (edge, operation); `space.derive(scores)` turns the scores into a genotype by the
rule of the space. Criteria are pure: they change neither architecture nor supernet. An operation
that is closed, not offered, or not the one its edge is fixed to scores -inf: it is never chosen.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from lnas.relaxations import GateSample
from lnas.seeds import generator
from lnas.spaces.random_scores import random_scores
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
        average: Returns the mean of a tensor over the ranks; every rank must call it. What is
            chosen among must be averaged before, or the ranks choose differently.
        measures: `measures(samples, batch)` compares many gates on one batch: for each, "loss",
            what the task measures of a batch ("accuracy"), and the number of "examples". What the
            passes have in common is computed once.
        ranks: Number of ranks that share the batches.
    """

    architecture: Architecture
    supernet: Supernet | None = None
    batches: Callable[[], Iterator[Any]] | None = None
    loss: Callable[[GateSample | Mapping[str, Tensor], Any], Tensor] | None = None
    seed: int = 0
    average: Callable[[Tensor], Tensor] = lambda tensor: tensor
    measures: Callable[[Sequence[GateSample], Any], list[dict[str, Tensor]]] | None = None
    ranks: int = 1


@dataclass(frozen=True)
class Decision:
    """One decision of a criterion that decides edge by edge, as plain data.

    Args:
        cell_type: The cell.
        edge: Name of the edge.
        operation: What stands on it from now on; None: the edge was removed.
        strengths: How strong each candidate is, in the unit of the criterion: by operation, or by
            edge where one is removed, the weakest.
        margin: By how much the choice is ahead of the next; None if it had no rival.
        margin_error: Standard error of the margin, from the differences batch by batch; None with
            fewer than two batches.
    """

    cell_type: str
    edge: str
    operation: str | None
    strengths: dict[str, float]
    margin: float | None = None
    margin_error: float | None = None


class SelectionCriterion(ABC):
    """Scores the operations of each edge.

    Attributes:
        reads_batches: It needs held-out batches and the supernet's loss.
        reads_accuracy: It needs a task with an accuracy.
        decisions: How the last scores came about, for criteria that decide edge by edge.
    """

    reads_batches = False
    reads_accuracy = False
    decisions: Sequence[Decision] = ()

    @abstractmethod
    def scores(self, context: SelectionContext) -> dict[str, Tensor]:
        """Return scores, (edges, ops) per cell type; larger is better, -inf is out of question."""


@final
class Magnitude(SelectionCriterion):
    """The strength of the gates, as in DARTS (arXiv:1806.09055, section 2.4)."""

    def scores(self, context: SelectionContext) -> dict[str, Tensor]:
        """Return the magnitudes of the architecture."""
        return magnitudes(context.architecture)


@torch.no_grad()
def magnitudes(architecture: Architecture) -> dict[str, Tensor]:
    """Return the magnitudes of what is open and -inf elsewhere, (edges, ops) per cell type.

    The relaxation says what they are, most often the noise-free gates. With edge normalisation they
    are multiplied by the edge's weight, as in PC-DARTS (arXiv:1907.05737). `space.derive` of them
    is the cell that a search would give now.
    """
    mask, edges, result = architecture.mask(), architecture.edge_weights(), {}
    for name, values in architecture.magnitudes().items():
        weighed = values * edges[name][:, None] if name in edges else values
        result[name] = weighed.masked_fill(~mask[name], -torch.inf)
    return result


@final
class RandomChoice(SelectionCriterion):
    """A random architecture: the baseline that a search has to beat (Li and Talwalkar, 2019).

    See `lnas.spaces.random_scores`. Fixed edges outrank the others and keep their operation, as
    they do under `Magnitude`.

    Args:
        seed: Seed of the choice; the seed of the run counts too.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def scores(self, context: SelectionContext) -> dict[str, Tensor]:
        """Return scores under which each genotype is equally likely."""
        architecture = context.architecture
        return {
            name: random_scores(
                mask,
                generator(self.seed, context.seed, "random choice", name),
                certain=architecture.fixed.get_buffer(name) >= 0,
            )
            for name, mask in architecture.mask().items()
        }
