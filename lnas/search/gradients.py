"""Gradients only where they are needed, and the same on every rank."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor


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
        tensors: Any shapes, the same on every rank, of one kind (float32, ...).
    """
    if not tensors or not spans_ranks(strategy):
        return list(tensors)
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    flat = strategy.reduce(flat, reduce_op="mean")
    pieces = flat.split([tensor.numel() for tensor in tensors])
    return [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)]


def average_gradients(strategy: Strategy, parameters: Sequence[Tensor], extra: Tensor) -> Tensor:
    """Replace the gradients of `parameters` by their means over ranks; return the mean of `extra`.

    Parameters without a gradient stay so: the gates, and with them what is left out, are equal on
    all ranks.
    """
    if not spans_ranks(strategy):
        return extra
    gradients = [p.grad for p in parameters if p.grad is not None]
    *means, extra_mean = average(strategy, [*gradients, extra.to(gradients[0])])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean)
    return extra_mean


def spans_ranks(strategy: Strategy) -> bool:
    """Whether the trainer runs more than one process."""
    return int(getattr(strategy, "world_size", 1)) > 1
