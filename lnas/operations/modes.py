"""Training or evaluation mode for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


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
