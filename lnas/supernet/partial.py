"""Partial channels: the first 1/K of a state's channels go through operations, the rest around.

Section 3.2 of Xu et al., "PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture
Search", ICLR 2020, arXiv:1907.05737, as released: around an edge of stride 2 the others are max
pooled over 2x2 windows, and the channels of its output are shuffled in K groups, so that the next
edge finds some of each in its first channels.
"""

import torch
from torch import Tensor
from torch.nn import functional


def split(x: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """Return the first 1/parts of the channels of (N, C, H, W) and the others."""
    first = x.shape[1] // parts
    return x[:, :first], x[:, first:]


def around(rest: Tensor, stride: int) -> Tensor:
    """Return what passes an edge of this stride, (N, C, H / stride, W / stride)."""
    return functional.max_pool2d(rest, 2, 2) if stride == 2 else rest


def join(mixed: Tensor | None, rest: Tensor, parts: int) -> Tensor:
    """Put both together and shuffle the channels in `parts` groups, (N, C, H, W).

    It is linear and the same for all edges into a node: it may as well follow their sum.

    Args:
        mixed: What the operations made of the first channels; None: zeros.
        rest: What passed around them.
        parts: K; the number of channels is a multiple of it.
    """
    if mixed is None:
        mixed = torch.zeros_like(rest[:, : rest.shape[1] // (parts - 1)])
    x = torch.cat([mixed, rest], 1)
    n, c, h, w = x.shape
    if x.is_contiguous(memory_format=torch.channels_last):
        pixels = x.permute(0, 2, 3, 1).reshape(n, h, w, parts, c // parts).transpose(3, 4)
        return pixels.reshape(n, h, w, c).permute(0, 3, 1, 2)
    return x.reshape(n, parts, c // parts, h, w).transpose(1, 2).reshape(n, c, h, w)
