"""The time loop of a recurrent cell's fast path, from the products of its inputs to its states.

The hidden state before a step is a state like all others, which one edge leaves: to the first
state, with tanh, whose product has that of the input added.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from lnas.operations import BatchNorm2d
from lnas.supernet.recurrent_source import Source


class Loop(ABC):
    """Runs over a sequence, and back.

    Args:
        sources: By the number of the state; -1 is the hidden state before a step.
        states: Room for the states of the steps that are kept, (kept, states, streams, units); in
            the end, what they were.
        mask: Factors of dropped hidden units, (streams, units).
        means: The states whose mean is the hidden state.
        norm: Normalises all states; without scale and shift.

    Attributes:
        source: Kind of the sources.
    """

    source: ClassVar[type[Source]]

    def __init__(
        self,
        sources: Mapping[int, Any],
        states: Tensor,
        mask: Tensor | None,
        means: Sequence[int],
        norm: BatchNorm2d | None,
    ) -> None:
        self.sources, self.states, self.mask = sources, states, mask
        self.means, self.layer = means, norm
        # The layer's may be another one in backward.
        self.mode = None if norm is None else norm.mode
        self.shares = states.new_zeros(states.shape[1])
        self.shares[list(means)] = 1 / len(means)

    @abstractmethod
    def forward(self, projected: Tensor, hidden: Tensor, output: Tensor) -> None:
        """Write the hidden states, (time, streams, units), to `output`.

        Args:
            projected: Products of the inputs with their matrix, (time, streams, 2 * units).
            hidden: Hidden state before, (streams, units).
            output: (time, streams, units).
        """

    @abstractmethod
    def backward(self, grad: Tensor, hidden: Tensor, output: Tensor) -> Tensor:
        """Return the gradient of the hidden state before; leave those of edges to the sources."""

    def _given(self, layer: BatchNorm2d) -> tuple[Tensor, Tensor]:
        """Return mean and scale of the running averages, (units,)."""
        mean, variance = (layer.get_buffer(f"running_{name}") for name in ("mean", "var"))
        return mean.to(self.states), (variance + layer.eps).rsqrt().to(self.states)
