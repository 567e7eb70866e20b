"""Overhead: what a search takes besides the arithmetic of its steps.

Behind each step of the search, whose time is counted from the end of the one before – loading the
batch, Lightning's loop, questions and events of callbacks, measures, rows of the logs – the same
step is taken bare: gates, forward, gradients, clipping, optimizers. What happens once an epoch is
in neither, and callbacks that act only then are left out.
"""

import time
from collections import Counter
from statistics import median
from typing import final

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from lnas.errors import InputError
from lnas.operations import statistics
from lnas.relaxations import Draw
from lnas.search import FirstOrder, SearchCallback, SearchModule, SearchStep, SearchStrategy
from lnas.search.gradients import frozen
from lnas.tasks import Batch, Role

IN_STEPS = (
    "on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward",
    "on_after_backward", "on_before_optimizer_step", "should_step_architecture",
    "architecture_loss", "watches_gates", "on_weight_gradients", "on_architecture_step", "signals",
)  # fmt: skip


@final
class Overhead(SearchStrategy):
    """Takes the steps of a search, and each of them bare as well; its first batch warms up.

    Args:
        steps: The search's own strategy.

    Attributes:
        whole: Seconds of each step of the search, with all that surrounds it.
        bare: Seconds of each bare step.

    Raises:
        InputError: The strategy does not alternate first-order steps.
    """

    def __init__(self, steps: SearchStrategy) -> None:
        if not isinstance(steps, FirstOrder):
            raise InputError(
                "lnas speed --overhead knows the bare step of FirstOrder and not that of "
                f"{type(steps).__name__}; give a search with FirstOrder, as --config darts."
            )
        self.steps = steps
        self.whole: list[float] = []
        self.bare: list[float] = []
        self._end: float | None = None

    def step(self, module: SearchModule, batch: Batch, step: SearchStep) -> None:
        """Take the step, and take it bare."""
        self.steps.step(module, batch, step)
        behind = _now(module)
        bare_step(module, batch, step.architecture_stepped)
        end = _now(module)
        if self._end is not None:
            self.whole.append(behind - self._end)
            self.bare.append(end - behind)
        self._end = end

    def share(self) -> tuple[float, float, float]:
        """Return overhead / bare step: of the medians, and the smallest and largest of rounds."""
        rounds = [whole / bare - 1 for whole, bare in zip(self.whole, self.bare, strict=True)]
        return median(self.whole) / median(self.bare) - 1, min(rounds), max(rounds)


def in_steps(callback: Callback) -> bool:
    """Whether a callback takes part in steps, and not only in what happens once an epoch."""
    plain = [getattr(SearchCallback, name) for name in IN_STEPS]
    pairs = zip(IN_STEPS, plain, strict=True)
    return any(getattr(type(callback), name, base) is not base for name, base in pairs)


def bare_step(module: SearchModule, batch: Batch, moves_architecture: bool) -> None:
    """Step architecture and weights as a plain loop does.

    Args:
        module: The search.
        batch: The batch of both passes.
        moves_architecture: Whether there is a step of the architecture.
    """
    weights, architecture = module.trainer.optimizers
    if moves_architecture:
        with frozen(module.weight_parameters()):
            _loss(module, batch, False).backward()  # type: ignore[no-untyped-call]  # torch's own
        architecture.step()
        architecture.zero_grad()
        module.architecture.hold()
    _loss(module, batch, True).backward()  # type: ignore[no-untyped-call]  # torch's own
    if module.gradient_clip:
        nn.utils.clip_grad_norm_(module.weight_parameters(), module.gradient_clip)
    weights.step()
    weights.zero_grad()


def _loss(module: SearchModule, batch: Batch, of_weights: bool) -> Tensor:
    """Return the loss of one pass."""
    supernet, cells = module.supernet, Counter(module.supernet.cell_types_of_cells)
    role: Role = "weights" if of_weights else "architecture"
    with torch.set_grad_enabled(not of_weights):
        sample = module.architecture.sample(Draw(module.seed, 0, module.steps, role, cells))
    supernet.set_draw(module.seed, role, module.steps)
    with (
        module.trainer.precision_plugin.forward_context(),
        statistics(supernet, "update" if of_weights else "batch"),
    ):
        loss, _, _ = module.task.loss(
            lambda inputs, state: supernet(inputs, sample, state), batch, None, role
        )
    return loss


def _now(module: SearchModule) -> float:
    if module.device.type == "cuda":
        torch.cuda.synchronize(module.device)
    return time.perf_counter()
