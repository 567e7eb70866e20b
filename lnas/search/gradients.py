"""Gradients only where they are needed, and the same on every rank."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.strategies import ParallelStrategy, Strategy
from torch import Tensor, nn

if TYPE_CHECKING:
    from lnas.search.module import SearchModule


@contextmanager
def frozen(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Compute no gradient of `parameters` within the block."""
    required = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, flag in zip(parameters, required, strict=True):
            parameter.requires_grad_(flag)


def average(strategy: Strategy, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the mean of each tensor over all ranks, in one collective; every rank must call it.

    Args:
        strategy: The trainer's strategy.
        tensors: Any shapes, the same on every rank; the means are of the first one's kind.
    """
    if not tensors or not spans_ranks(strategy):
        return list(tensors)
    kind = tensors[0].dtype
    flat = torch.cat([tensor.detach().reshape(-1).to(kind) for tensor in tensors])
    flat = strategy.reduce(flat, reduce_op="mean")
    pieces = flat.split([tensor.numel() for tensor in tensors])
    return [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)]


def propagate(module: "SearchModule", loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
    """Fill the gradients of `parameters` with their means over ranks.

    Parameters that the loss did not use keep no gradient: the gates, and with them what is left
    out, are equal on all ranks. A loss that none was used for (all edges were drawn as *none*, and
    the weights are constants) leaves them all without one.

    Raises:
        NonFiniteError: The loss or a gradient is not finite on some rank; all raise together, see
            `FiniteWatch`.
    """
    ddp = module.trainer.strategy
    with ddp.block_backward_sync() if isinstance(ddp, ParallelStrategy) else nullcontext():
        if loss.requires_grad:
            module.manual_backward(loss)
    found = [p.grad for p in parameters if p.grad is not None]
    *means, mean = average(ddp, [*found, loss.detach()])
    if spans_ranks(ddp):
        for gradient, averaged in zip(found, means, strict=True):
            gradient.copy_(averaged)
    # A scaler finds infinite gradients by itself and skips the step.
    scaled = getattr(module.trainer.precision_plugin, "scaler", None) is not None
    module.watch.look(module.step, [mean] if scaled else [mean, *found])


def gradients(
    module: "SearchModule", loss: Tensor, tensors: Sequence[Tensor]
) -> list[Tensor | None]:
    """Return d loss / d tensors, averaged over ranks; None for what the loss did not use.

    Raises:
        NonFiniteError: As for `propagate`.
    """
    found: Sequence[Tensor | None] = [None for _ in tensors]
    if loss.requires_grad:
        found = torch.autograd.grad(loss, list(tensors), allow_unused=True)
    used = [gradient for gradient in found if gradient is not None]
    *used, mean = average(module.trainer.strategy, [*used, loss.detach()])
    module.watch.look(module.step, [mean, *used])
    means = iter(used)
    return [None if gradient is None else next(means) for gradient in found]


def spans_ranks(strategy: Strategy) -> bool:
    """Whether the trainer runs more than one process."""
    return int(getattr(strategy, "world_size", 1)) > 1
