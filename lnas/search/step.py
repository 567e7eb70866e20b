"""SearchStep: what a search is doing right now, handed to every question and event."""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from lnas.relaxations import GateSample
from lnas.tasks import Batch, Output, State


@dataclass
class SearchStep:
    """One batch of the weights stream and the passes that belong to it.

    Args:
        epoch: Epoch, from 0.
        batch_index: Batch within the epoch, from 0.
        progress: (epoch + batch_index / batches) / max_epochs, in [0, 1).
        role: Which pass is under way.
        architecture_stepped: Whether this batch takes an architecture step; settled by the
            callbacks' votes before the first forward, for either order of the passes.
        sample: The very gates that this pass uses. They have a gradient in the passes
            "architecture" and "joint" only.
        loss: Loss of the task in this pass, a scalar in nats.
        batch: What this pass has read.
        output: What the supernet made of it.
        gate_gradients: d loss / d gates of every cell, (cells, edges, ops) per cell type, on this
            rank and without what callbacks add to the loss; there behind the backward of passes
            that a callback watches, see `SearchCallback.watches_gates`.
        terms: What callbacks add to the loss of the architecture, by name.
        states: What recurrent networks had carried over when this batch began, by stream: all
            passes on a stream start from it.
        advanced: The streams whose state has moved on: the first real pass on each moves it.
    """

    epoch: int
    batch_index: int
    progress: float
    role: Literal["weights", "architecture", "joint"] = "weights"
    architecture_stepped: bool = False
    sample: GateSample | None = None
    loss: Tensor | None = None
    batch: Batch | None = None
    output: Output | None = None
    gate_gradients: dict[str, Tensor] = field(default_factory=dict)
    terms: dict[str, Tensor] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    advanced: set[str] = field(default_factory=set)

    @property
    def stream(self) -> Literal["weights", "architecture"]:
        """The stream that the pass under way reads; a joint pass reads that of the weights."""
        return "architecture" if self.role == "architecture" else "weights"
