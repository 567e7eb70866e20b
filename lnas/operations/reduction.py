"""What stands between cells and at strided skips: 1x1 convolutions, halving the image without loss.

ReLU-Conv1x1-BN and the factorised reduction of DARTS (as released). The latter subsamples before a
stride-1 convolution instead of striding it: the same function, and a strided 1x1 convolution with
few output channels corrupts memory in torch 2.14's channels_last weight gradient.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lnas.errors import InputError
from lnas.operations.normalization import BatchNorm2d


class Preprocess(nn.Module):
    """ReLU, 1x1 convolution, normalisation: brings a cell's input to the cell's channels.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        affine: Learn scale and shift of the normalisation.
    """

    def __init__(self, inputs: int, outputs: int, affine: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = BatchNorm2d(outputs, affine)

    def forward(self, x: Tensor) -> Tensor:
        """Apply, (N, inputs, H, W) -> (N, outputs, H, W)."""
        output: Tensor = self.bn(self.conv(functional.relu(x)))
        return output


class HalvingPreprocess(nn.Module):
    """The factorised reduction as a preprocess, after a reduction cell; see `FactorizedReduce`.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out, even.
        affine: Learn scale and shift of the normalisation.
    """

    def __init__(self, inputs: int, outputs: int, affine: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = _halves(inputs, outputs)
        self.bn = BatchNorm2d(outputs, affine)

    def forward(self, x: Tensor) -> Tensor:
        """Apply, (N, inputs, H, W) -> (N, outputs, H / 2, W / 2)."""
        output: Tensor = self.bn(halve(functional.relu(x), self.conv1, self.conv2))
        return output


class FactorizedReduce(nn.Module):
    """A skip connection of stride 2: ReLU, two 1x1 convolutions on alternate pixels, normalisation.

    Args:
        channels: Number of channels, even.
        affine: Learn scale and shift of the normalisation.
    """

    stride = 2

    def __init__(self, channels: int, affine: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = _halves(channels, channels)
        self.bn1 = BatchNorm2d(channels, affine)

    def forward(self, x: Tensor) -> Tensor:
        """Apply, (N, C, H, W) -> (N, C, H / 2, W / 2); H and W are even."""
        output: Tensor = self.bn1(halve(functional.relu(x), self.conv1, self.conv2))
        return output


def halve(x: Tensor, first: nn.Module, second: nn.Module) -> Tensor:
    """Convolve the even and the odd pixels of (N, C, H, W); stack the results as channels."""
    return torch.cat([first(x[:, :, ::2, ::2]), second(x[:, :, 1::2, 1::2])], 1)


def _halves(inputs: int, outputs: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    if outputs % 2:
        raise InputError(f"a factorised reduction to {outputs} channels; the number must be even")
    return (
        nn.Conv2d(inputs, outputs // 2, 1, bias=False),
        nn.Conv2d(inputs, outputs // 2, 1, bias=False),
    )
