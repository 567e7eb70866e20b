"""Tasks: what a network is trained for, shared by search and evaluation.

A task turns a network and a batch into a loss, and says which numbers an epoch is summed up by.
It never sees the architecture: `network_call` hides the gates.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

from torch import Tensor
from torch.nn import functional

from lnas.tasks.measures import Measure
from lnas.tasks.metrics import EpochMetrics

# What a recurrent network carries from batch to batch: (nested tuples of) tensors, or None.
State: TypeAlias = Any
Batch: TypeAlias = Any
# Which pass is under way. "held_out" takes no gradient; "evaluation" trains a derived network.
Role = Literal["weights", "architecture", "joint", "held_out", "evaluation"]


@dataclass(frozen=True)
class Output:
    """What a network returns.

    Args:
        logits: Unnormalised class scores, (batch, classes) for images, (time, streams, words) for
            texts.
        auxiliary: Class scores of an auxiliary head, shaped like the logits; None without one.
        state: What a recurrent network hands to the next batch.
        activations: What a recurrent cell put out, before and behind its dropout, each
            (time, streams, units); None for other networks.
        entropy: The plain cross entropy (nats) that a task has found, for whoever measures.
    """

    logits: Tensor
    auxiliary: Tensor | None = None
    state: State = None
    activations: tuple[Tensor, Tensor] | None = None
    entropy: Tensor | None = None

    @property
    def count(self) -> int:
        """Number of images, or of words."""
        return self.logits[..., 0].numel()

    def cross_entropy(self, targets: Tensor) -> Tensor:
        """Return the mean cross entropy of the scores in nats; targets are shaped like examples."""
        scores = self.logits.flatten(0, -2)
        return functional.cross_entropy(scores, targets.flatten())

    def with_entropy(self, entropy: Tensor) -> Self:
        """Return this output with the cross entropy noted on it, without its gradient."""
        noted = copy.copy(self)
        object.__setattr__(noted, "entropy", entropy.detach())
        return noted


NetworkCall: TypeAlias = Callable[[Any, State], Output]


class Task(ABC):
    """Loss and measures of a kind of data.

    Attributes:
        measure: What networks are compared by, one of the names that `metrics` sums up.
    """

    measure: Measure

    @abstractmethod
    def loss(
        self, network_call: NetworkCall, batch: Batch, state: State, role: Role
    ) -> tuple[Tensor, Output, State]:
        """Run the network once and return (loss, its output, its new state).

        The loss is a scalar in nats. The state carries no gradient: what happened before a batch
        is a constant for it.

        Args:
            network_call: `network_call(inputs, state) -> Output`.
            batch: One batch of the data module.
            state: What the previous batch of this stream returned; None at first.
            role: Which pass is under way.
        """

    def learning_rate_factor(self, batch: Batch) -> float:
        """Return the factor of the weights' learning rate in the step that this batch trains."""
        return 1.0

    @abstractmethod
    def batch_metrics(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Return measures of one batch by name, e.g. {"accuracy": scalar in [0, 1]}.

        What is logged is their mean over ranks.
        """

    @abstractmethod
    def metrics(self) -> EpochMetrics:
        """Return a new container that sums up an epoch of one role."""
