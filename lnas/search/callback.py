"""SearchCallback: Lightning's Callback plus three questions and two events.

Lightning drops what its hooks return, so the module asks by itself. Questions are pure and may be
asked in any order; events are the moments that Lightning's hooks cannot name.
"""

import re
from typing import TYPE_CHECKING

from lightning.pytorch import Callback
from torch import Tensor

from lnas.search.step import SearchStep

if TYPE_CHECKING:
    from lnas.search.module import SearchModule


class SearchCallback(Callback):
    """A part of a search method that may be there none, one or many times.

    State that decides when or how much goes into `state_dict`; what the network computes with is a
    buffer of the module; what follows from progress is computed anew.
    """

    @property
    def term(self) -> str:
        """Name of this callback's term in the loss: `GroupPenalty` logs `search/group_penalty`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    def should_step_architecture(self, module: "SearchModule", step: SearchStep) -> bool:
        """Whether this batch may take an architecture step; it does when all callbacks agree.

        Asked once per batch, before its first forward. Every rank must give the same answer.
        """
        return True

    def architecture_loss(self, module: "SearchModule", step: SearchStep) -> Tensor | None:
        """Return a scalar to add to the loss of the architecture, or None.

        Asked in the passes "architecture" and "joint", after the forward: `step.sample` holds the
        gates and `step.loss` the loss of the task.
        """
        return None

    def watches_gates(self, module: "SearchModule", step: SearchStep) -> bool:
        """Whether `step.gate_gradients` shall hold the gradient of this pass' gates.

        Asked in the passes "weights", "architecture" and "joint", before the forward. Weights and
        logits move as if nobody watched.
        """
        return False

    def on_weight_gradients(self, module: "SearchModule", step: SearchStep) -> None:
        """Called when the weights' gradients are there, averaged over ranks and not yet clipped."""

    def on_architecture_step(self, module: "SearchModule", step: SearchStep) -> None:
        """Called after a step of the architecture's optimizer."""

    def signals(self) -> dict[str, float]:
        """Return what the logs should show of this callback now: `search/<name>` in every row."""
        return {}
