"""Modes for a while: training or evaluation, and full precision."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn


@contextmanager
def mode(network: nn.Module, training: bool) -> Iterator[None]:
    """Put a network into a mode; put each part back into its own on the way out.

    Args:
        network: The network.
        training: Training mode; else evaluation mode.
    """
    parts = list(network.modules())
    before = [part.training for part in parts]
    try:
        network.train(training)
        yield
    finally:
        for part, flag in zip(parts, before, strict=True):
            part.training = flag


def full_precision(like: Tensor) -> AbstractContextManager[None]:
    """Turn autocast off on the device of a tensor.

    Args:
        like: Any tensor; devices without autocast are left alone.
    """
    kind = like.device.type
    if torch.amp.is_autocast_available(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
