"""The optimizers of the two levels, and their learning rates."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.core.optimizer import do_nothing_closure
from torch.optim import Optimizer

from lnas.errors import refused_values
from lnas.schedules import Cosine, rate_of
from lnas.search import checks

if TYPE_CHECKING:
    from lnas.search.module import SearchModule


def make_optimizers(module: "SearchModule") -> list[Optimizer]:
    """Make those of the weights and the architecture, and the weights' schedule if there is none.

    Raises:
        InputError: A factory refuses its values, or an optimizer cannot serve the search.
    """
    weights, architecture = module.optimizer_factories
    with refused_values("weight_optimizer"):
        optimizers = [weights(module.supernet.parameters())]
    with refused_values("architecture_optimizer"):
        optimizers.append(architecture(module.architecture.parameters()))
    checks.check_optimizers(module, optimizers)
    if module.schedules[0] is None:
        rate = optimizers[0].param_groups[0]["lr"]
        module.schedules[0] = Cosine(rate, rate / 25)
    return optimizers


def set_rates(module: "SearchModule", progress: float) -> None:
    """Set the learning rates that the schedules have at this progress, in [0, 1)."""
    for optimizer, schedule in zip(module.trainer.optimizers, module.schedules, strict=True):
        if schedule is not None:
            for group in optimizer.param_groups:
                group["lr"] = rate_of(schedule, progress)


@contextmanager
def scaled(optimizer: Optimizer, factor: float) -> Iterator[None]:
    """Multiply the learning rates of an optimizer by `factor` within the block."""
    rates = [group["lr"] for group in optimizer.param_groups]
    try:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = factor * rate
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


def take_step(module: "SearchModule", index: int) -> None:
    """Step an optimizer and let go of the gradients.

    `trainer.global_step` would count the steps of every optimizer; that it counts those of the
    weights alone makes max_steps and every_n_train_steps mean batches.

    Args:
        module: The search.
        index: 0, the optimizer of the weights, or 1, that of the architecture.
    """
    optimizers = module.optimizers()
    assert isinstance(optimizers, list)
    optimizer = optimizers[index]
    if index:
        optimizer._on_before_step = optimizer._on_after_step = do_nothing_closure
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    torch.clear_autocast_cache()  # else a second forward would see the weights before the step
