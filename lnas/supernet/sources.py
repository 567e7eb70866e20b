"""What the operations that read one state have in common, each thing computed at most once.

ReLUs, pools, their normalisations, pixel phases and even pixels do not depend on the edge.
"""

from collections.abc import Callable

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
        self._known: dict[str, Tensor] = {}

    @property
    def relu(self) -> Tensor:
        """The rectified state."""
        return self._once("relu", lambda: functional.relu(self.state))

    @property
    def phases(self) -> Tensor:
        """The four pixel phases of the rectified state, (4N, C, H / 2, W / 2)."""
        return self._once("phases", lambda: phases(self.relu))

    @property
    def even(self) -> Tensor:
        """Every second pixel of the rectified state, from the first on."""
        return self._once("even", lambda: dense(self.relu[:, :, ::2, ::2]))

    @property
    def odd(self) -> Tensor:
        """Every second pixel of the rectified state, from the second on."""
        return self._once("odd", lambda: dense(self.relu[:, :, 1::2, 1::2]))

    def repeated(self, times: int) -> Tensor:
        """The rectified state, so many times side by side, (N, times * C, H, W)."""
        if times == 1:
            return self.relu
        return self._once(f"repeated {times}", lambda: self.relu.repeat(1, times, 1, 1))

    def pool(self, kind: str, stride: int) -> Tensor:
        """The pooled state, not normalised."""
        return self._once(f"{kind} {stride}", lambda: pool(self.state, kind, stride))

    def around(self, stride: int) -> Tensor:
        """The other channels, as they pass an edge of this stride."""
        return self._once(f"around {stride}", lambda: around(self.rest, stride))

    def _once(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        # No functools.cached_property: its lock ends the graph of a compiler.
        if name not in self._known:
            self._known[name] = compute()
        return self._known[name]


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
