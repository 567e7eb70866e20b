"""Candidate operations on images: C channels in, C channels out, stride 1 or 2.

The operations of DARTS (Liu, Simonyan, Yang, ICLR 2019, arXiv:1806.09055, section 3.1.1, as
released), the 7x1-1x7 convolution of NASNet and AmoebaNet, the convolutions of NAS-Bench-201 (Dong,
Yang, ICLR 2020, arXiv:2001.00326) and the noise of RobustDARTS' space S4 (Zela et al., ICLR 2020,
arXiv:1909.09656). No ReLU is in place: operations share their input. Submodule names are those of
the state dict.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lnas.operations.depthwise import DepthwiseConv2d
from lnas.operations.normalization import BatchNorm2d
from lnas.waiting import sent


class Zero(nn.Module):
    """*none*: zeros of the output's size.

    Args:
        stride: Stride.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros; the gradient towards x is zero too."""
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class Noise(nn.Module):
    """Standard normal numbers of the output's size, independent of the input.

    The supernet gives it a fresh generator before each forward.

    Args:
        stride: Stride.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Draw from `generator`; without one, from torch's own."""
        shape = x[:, :, :: self.stride, :: self.stride].shape
        return sent(torch.randn(shape, generator=self.generator, dtype=x.dtype), x.device)


class Pool(nn.Module):
    """3x3 pooling, followed by non-affine batch normalisation in a DARTS search net.

    Args:
        kind: `max` or `avg`; the average does not count the padding.
        channels: Number of channels.
        stride: Stride.
        normalize: Append the batch normalisation.
    """

    def __init__(self, kind: str, channels: int, stride: int, normalize: bool) -> None:
        super().__init__()
        self.kind, self.stride = kind, stride
        self.bn = BatchNorm2d(channels, affine=False) if normalize else None

    def forward(self, x: Tensor) -> Tensor:
        """Pool, then normalise."""
        pooled = pool(x, self.kind, self.stride)
        return pooled if self.bn is None else self.bn(pooled)


def pool(x: Tensor, kind: str, stride: int) -> Tensor:
    """Pool (N, C, H, W) over 3x3 windows, padding 1."""
    if kind == "max":
        return functional.max_pool2d(x, 3, stride, 1)
    return functional.avg_pool2d(x, 3, stride, 1, count_include_pad=False)


class SeparableConv(nn.Module):
    """ReLU, depthwise, pointwise, normalisation, all twice; the first half carries the stride.

    Args:
        channels: Number of channels.
        kernel: Side of the depthwise kernels.
        stride: Stride.
        affine: Learn scale and shift of the normalisations.
        fast: See `DepthwiseConv2d`.
    """

    def __init__(
        self, channels: int, kernel: int, stride: int, affine: bool, fast: bool = False
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.dw1 = DepthwiseConv2d(channels, kernel, stride, fast=fast)
        self.pw1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn1 = BatchNorm2d(channels, affine)
        self.dw2 = DepthwiseConv2d(channels, kernel, fast=fast)
        self.pw2 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = BatchNorm2d(channels, affine)

    def forward(self, x: Tensor) -> Tensor:
        """Apply both halves."""
        x = self.bn1(self.pw1(self.dw1(functional.relu(x))))
        output: Tensor = self.bn2(self.pw2(self.dw2(functional.relu(x))))
        return output


class DilatedConv(nn.Module):
    """ReLU, depthwise with dilation 2, pointwise, normalisation; applied once.

    Args:
        channels: Number of channels.
        kernel: Side of the depthwise kernel.
        stride: Stride.
        affine: Learn scale and shift of the normalisation.
    """

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.dw1 = DepthwiseConv2d(channels, kernel, stride, dilation=2)
        self.pw1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn1 = BatchNorm2d(channels, affine)

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        output: Tensor = self.bn1(self.pw1(self.dw1(functional.relu(x))))
        return output


class ReLUConv(nn.Module):
    """ReLU, dense convolution, normalisation: `nor_conv` of NAS-Bench-201.

    Its convolution has a bias exactly when the normalisation is not affine, as released.

    Args:
        channels: Number of channels.
        kernel: Side of the kernel.
        stride: Stride.
        affine: Learn scale and shift of the normalisation.
    """

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv1 = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, bias=not affine)
        self.bn1 = BatchNorm2d(channels, affine)

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        output: Tensor = self.bn1(self.conv1(functional.relu(x)))
        return output


class CrossConv(nn.Module):
    """ReLU, 1xk convolution, kx1 convolution, normalisation: `conv_7x1_1x7`.

    Args:
        channels: Number of channels.
        kernel: The long side k.
        stride: Stride; each convolution carries that of its own axis.
        affine: Learn scale and shift of the normalisation.
    """

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool) -> None:
        super().__init__()
        half = kernel // 2
        self.conv1 = nn.Conv2d(channels, channels, (1, kernel), (1, stride), (0, half), bias=False)
        self.conv2 = nn.Conv2d(channels, channels, (kernel, 1), (stride, 1), (half, 0), bias=False)
        self.bn1 = BatchNorm2d(channels, affine)

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        output: Tensor = self.bn1(self.conv2(self.conv1(functional.relu(x))))
        return output
