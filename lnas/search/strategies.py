"""Search strategies: how the two levels of the search alternate.

Equations 3 and 4 of Liu et al., "DARTS", ICLR 2019, arXiv:1806.09055: the weights minimise
the loss on the weights stream, the architecture that on the architecture stream. `FirstOrder` takes
the weights as they are (xi = 0), `Joint` minimises one loss by both (SNAS, arXiv:1812.09926),
`SecondOrder` (its own file) looks one step ahead, `WeightsOnly` leaves the architecture alone.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, final, get_args

import torch

from lnas.errors import InputError
from lnas.search.asking import penalty
from lnas.search.gradients import frozen, propagate
from lnas.search.step import SearchStep
from lnas.tasks import Batch

if TYPE_CHECKING:
    from lnas.search.module import SearchModule

Order = Literal["architecture_first", "weights_first"]


class SearchStrategy(ABC):
    """Says what one batch of the weights stream does to weights and architecture."""

    reads_architecture_stream = True
    """Whether architecture steps read batches of their own."""

    moves_architecture = True
    """Whether it takes architecture steps at all."""

    scales_losses = False
    """Whether the strategy works with the loss scaling of Trainer(precision="16-mixed")."""

    double_backward = False
    """Whether it differentiates twice, which the supernet's fused path refuses."""

    @abstractmethod
    def step(self, module: "SearchModule", batch: Batch, step: SearchStep) -> None:
        """Take the steps of one batch: of both levels if `step.architecture_stepped`."""

    def check_optimizer(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: B027  # optional
        """Refuse a weight optimizer that the strategy cannot follow.

        Raises:
            InputError: It cannot.
        """


@final
class FirstOrder(SearchStrategy):
    """Alternate: an architecture step on its own stream, then a weight step, or the reverse.

    Args:
        order: "architecture_first" as DARTS does, "weights_first" as PR-DARTS.

    Raises:
        InputError: The order is unknown.
    """

    scales_losses = True

    def __init__(self, order: Order = "architecture_first") -> None:
        if order not in get_args(Order):
            raise InputError(f"order={order!r} is unknown; choose one of {get_args(Order)}.")
        self.order = order

    def step(self, module: "SearchModule", batch: Batch, step: SearchStep) -> None:
        """Run the two passes in the chosen order."""
        architecture_first = self.order == "architecture_first"
        if step.architecture_stepped and architecture_first:
            architecture_step(module, step)
        weight_step(module, batch, step)
        if step.architecture_stepped and not architecture_first:
            architecture_step(module, step)


@final
class Joint(SearchStrategy):
    """Single level: one forward and backward on the weights stream moves both.

    A callback that withholds the architecture step turns the batch into a plain weight step.
    """

    reads_architecture_stream = False

    def step(self, module: "SearchModule", batch: Batch, step: SearchStep) -> None:
        """Run the one pass and both steps."""
        if not step.architecture_stepped:
            weight_step(module, batch, step)
            return
        step.role = "joint"
        step.sample = module.sample("joint")
        loss = module.loss(batch, step, "update") + penalty(module, step)
        propagate(module, loss, [*module.weight_parameters(), *module.architecture_parameters()])
        module.step_weights()
        module.step_architecture()


@final
class WeightsOnly(SearchStrategy):
    """The weights alone: the architecture stays as it starts, or is drawn (`RandomCell`)."""

    reads_architecture_stream = False
    moves_architecture = False
    scales_losses = True

    def step(self, module: "SearchModule", batch: Batch, step: SearchStep) -> None:
        """Run the weight step."""
        step.architecture_stepped = False
        weight_step(module, batch, step)


def weight_step(module: "SearchModule", batch: Batch, step: SearchStep) -> None:
    """Move the weights down the loss of `batch`; the gates are constants of this pass."""
    step.role = "weights"
    with torch.no_grad():
        step.sample = module.sample("weights")
    loss = module.loss(batch, step, "update")
    propagate(module, loss, module.weight_parameters())
    module.step_weights()


def architecture_step(module: "SearchModule", step: SearchStep) -> None:
    """Move the architecture down the loss of its next batch; the weights are constants."""
    step.role = "architecture"
    batch = module.architecture_batch()
    with frozen(module.weight_parameters()):
        step.sample = module.sample("architecture")
        loss = module.loss(batch, step) + penalty(module, step)
        propagate(module, loss, module.architecture_parameters())
    module.step_architecture()
