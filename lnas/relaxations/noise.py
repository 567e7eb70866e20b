"""Numerically safe noise for relaxations, drawn on the host so that every device sees the same.

Uniform numbers of float32 can be exactly 0 or 1, where the transforms below are infinite; here they
are drawn in float64 and kept away from both ends.
"""

import torch
from torch import Tensor

from lnas.waiting import sent

_SMALLEST, _LARGEST = 1e-20, 1 - 1e-12


def uniform(like: Tensor, generator: torch.Generator, cells: int | None = None) -> Tensor:
    """Return float64 numbers in (0, 1) of the shape of `like`, or (cells, *its shape)."""
    shape = like.shape if cells is None else (cells, *like.shape)
    drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
    return sent(drawn.clamp_(_SMALLEST, _LARGEST), like.device)


def gumbel(uniform: Tensor) -> Tensor:
    """Return standard Gumbel numbers -ln(-ln u) of uniform numbers u in (0, 1)."""
    return -torch.log(-torch.log(uniform))


def logistic(uniform: Tensor) -> Tensor:
    """Return standard logistic numbers ln u - ln(1 - u) of uniform numbers u in (0, 1)."""
    return torch.log(uniform) - torch.log1p(-uniform)
