"""What the operations that read one state have in common, each thing computed at most once.

ReLUs, pools, their normalisations, pixel phases and even pixels do not depend on the edge.
"""

from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from lnas.operations import BatchNorm2d
from lnas.operations.convolutional import pool
from lnas.operations.depthwise import phases
from lnas.operations.layout import dense
from lnas.operations.normalization import move_averages
from lnas.supernet.partial import around, split


class Source:
    """A state of a cell, and what follows from it.

    Args:
        state: The state, (N, C, H, W).
        parts: Operations read the first 1/parts of its channels.

    Attributes:
        state: What operations read of it.
        rest: The other channels.
    """

    def __init__(self, state: Tensor, parts: int = 1) -> None:
        first, self.rest = split(state, parts)
        self.state = state if parts == 1 else dense(first)
        # Other devices have good kernels for dilated convolutions.
        self.phased = (
            state.device.type == "cpu" and state.shape[2] % 2 == 0 and state.shape[3] % 2 == 0
        )
        self._repeated: dict[int, Tensor] = {}
        self._pools: dict[tuple[str, int], Tensor] = {}
        self._around: dict[int, Tensor] = {}

    @cached_property
    def relu(self) -> Tensor:
        """The rectified state."""
        return functional.relu(self.state)

    @cached_property
    def phases(self) -> Tensor:
        """The four pixel phases of the rectified state, (4N, C, H / 2, W / 2)."""
        return phases(self.relu)

    @cached_property
    def even(self) -> Tensor:
        """Every second pixel of the rectified state, from the first on."""
        return dense(self.relu[:, :, ::2, ::2])

    @cached_property
    def odd(self) -> Tensor:
        """Every second pixel of the rectified state, from the second on."""
        return dense(self.relu[:, :, 1::2, 1::2])

    def repeated(self, times: int) -> Tensor:
        """The rectified state, so many times side by side, (N, times * C, H, W)."""
        if times == 1:
            return self.relu
        if times not in self._repeated:
            self._repeated[times] = self.relu.repeat(1, times, 1, 1)
        return self._repeated[times]

    def pool(self, kind: str, stride: int) -> Tensor:
        """The pooled state, not normalised."""
        if (kind, stride) not in self._pools:
            self._pools[kind, stride] = pool(self.state, kind, stride)
        return self._pools[kind, stride]

    def around(self, stride: int) -> Tensor:
        """The other channels, as they pass an edge of this stride."""
        if stride not in self._around:
            self._around[stride] = around(self.rest, stride)
        return self._around[stride]


def shares_statistics(norms: list[BatchNorm2d]) -> bool:
    """Whether the layers turn the same input into the same output: all use the batch's moments."""
    return all(norm.mode != "running" and norm.eps == norms[0].eps for norm in norms)


def normalize(
    x: Tensor,
    norms: list[BatchNorm2d],
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    offsets: list[Tensor | None] | None = None,
) -> Tensor:
    """Normalise once for several layers without parameters; move the averages of each.

    Args:
        x: Input of all layers, (N, C, H, W); or one for each, (N, len(norms) * C, H, W).
        norms: The layers; `shares_statistics(norms)` holds.
        scale: Per channel of x.
        shift: Per channel of x.
        offsets: What each layer's input has on top of x, (C,); it moves the averages only, since
            normalisation takes it away.
    """
    moving = any(norm.mode == "update" for norm in norms)
    # In the kind of the averages, which under autocast is not that of x.
    like = x if norms[0].running_mean is None else norms[0].running_mean
    mean = like.new_zeros(x.shape[1]) if moving else None
    variance = torch.zeros_like(mean) if mean is not None else None
    y = functional.batch_norm(x, mean, variance, scale, shift, True, 1.0, norms[0].eps)
    if mean is not None and variance is not None:
        _move(norms, mean, variance, offsets or [None] * len(norms))
    return y


@torch.no_grad()
def _move(
    norms: list[BatchNorm2d], mean: Tensor, variance: Tensor, offsets: list[Tensor | None]
) -> None:
    parts = len(mean) // norms[0].num_features
    means, variances = mean.chunk(parts), variance.chunk(parts)
    if parts < len(norms):
        means, variances = means * len(norms), variances * len(norms)
    pairs = zip(means, offsets, strict=True)
    shifted = [own if offset is None else own + offset for own, offset in pairs]
    move_averages(norms, shifted, variances)
