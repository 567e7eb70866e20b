"""Activation checkpointing: a cell keeps what it reads, and is computed again for its gradients.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016, arXiv:1604.06174, with one cell
a segment. The second time a cell is as it was the first time: it has the same weights (those of a
virtual step are not its own), the same kind of statistics and the same random numbers, although all
of these may have changed since. And nothing moves twice: running averages stand still.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from lnas.operations import BatchNorm2d
from lnas.operations.convolutional import Noise
from lnas.operations.dropout import SkipDropout
from lnas.operations.normalization import standing
from lnas.relaxations import CellGates
from lnas.supernet.base import Path, plain


def checkpointed(
    cell: nn.Module, given: tuple[Tensor, ...], gates: CellGates, path: Path
) -> Tensor:
    """Return the output of a searched cell; the backward pass computes what is within it again.

    Args:
        cell: The cell.
        given: Outputs of other cells that it reads.
        gates: Its gates.
        path: The way through the supernet.
    """
    if not torch.is_grad_enabled():
        return plain(cell, given, gates, path)
    moment = _Moment(cell)

    def compute(*given: Tensor) -> Tensor:
        if moment.passed:
            with moment.again():
                output: Tensor = functional_call(cell, moment.tensors, (*given, gates, path))
                return output
        moment.passed = True
        return plain(cell, given, gates, path)

    output: Tensor = checkpoint(compute, *given, use_reentrant=False)
    return output


class _Moment:
    """All that a cell computes with besides its arguments, as it is now."""

    def __init__(self, cell: nn.Module) -> None:
        self.passed = False
        self.tensors = {**dict(cell.named_parameters()), **dict(cell.named_buffers())}
        self.modes = [(part, part.mode) for part in cell.modules() if isinstance(part, BatchNorm2d)]
        self.random = [
            (part, part.generator, None if part.generator is None else part.generator.get_state())
            for part in cell.modules()
            if isinstance(part, Noise | SkipDropout)
        ]

    @contextmanager
    def again(self) -> Iterator[None]:
        """Within the block it is this moment, but that no running average moves."""
        now = [part.generator for part, _, _ in self.random]
        try:
            for part, generator, state in self.random:
                part.generator = None
                if generator is not None and state is not None:
                    part.generator = torch.Generator(generator.device)
                    part.generator.set_state(state)
            with standing(self.modes):
                yield
        finally:
            for (part, _, _), generator in zip(self.random, now, strict=True):
                part.generator = generator
