"""Depthwise convolutions and a backward pass that CPUs like.

oneDNN has no good kernel for several depthwise gradients. The same numbers come from kernels that
it does have: the input gradient of a stride-1 'same' convolution is the forward convolution of the
output gradient with the flipped kernel, and the weight gradient of a 5x5 kernel is cut from four
3x3 weight gradients on shifted views.

Dilation 2 becomes dilation 1: on the four pixel phases at stride 1 (`phases`), on every second
pixel at stride 2, because with even padding no other pixel is ever read.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lnas.errors import NO_SECOND_DERIVATIVE


class DepthwiseConv2d(nn.Conv2d):
    """A 'same' depthwise convolution without bias, (N, C, H, W) -> (N, C, H / stride, W / stride).

    Args:
        channels: Number of channels.
        kernel: Odd side of the kernel.
        stride: Stride.
        dilation: Dilation.
        fast: Train with the fast backward on CPUs; it has no second derivatives.
    """

    def __init__(
        self, channels: int, kernel: int, stride: int = 1, dilation: int = 1, fast: bool = False
    ) -> None:
        super().__init__(
            channels,
            channels,
            kernel,
            stride,
            padding=dilation * (kernel - 1) // 2,
            dilation=dilation,
            groups=channels,
            bias=False,
        )
        self.fast = fast

    def forward(self, input: Tensor) -> Tensor:
        """Convolve."""
        if self.fast and self.stride[0] == 1 and self.dilation[0] == 1:
            return depthwise(input, self.weight)
        return super().forward(input)


def depthwise(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve (N, C, H, W) with (C, 1, k, k), 'same' padding; on CPUs with a fast backward."""
    channels, half = weight.shape[0], weight.shape[-1] // 2
    fast = (
        x.device.type == "cpu" and torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    )
    if fast and (x.requires_grad or weight.requires_grad):
        output: Tensor = _Depthwise.apply(x, weight)
        return output
    return functional.conv2d(x, weight, padding=half, groups=channels)


def phases(x: Tensor) -> Tensor:
    """Split (N, C, H, W), H and W even, into its four pixel phases: (4N, C, H / 2, W / 2)."""
    n, c, h, w = x.shape
    split = x.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, c).permute(2, 4, 0, 1, 3, 5)
    return split.reshape(4 * n, h // 2, w // 2, c).permute(0, 3, 1, 2)


def unphases(x: Tensor) -> Tensor:
    """Put the four pixel phases together again, the inverse of `phases`."""
    n, c, h, w = x.shape
    split = x.permute(0, 2, 3, 1).reshape(2, 2, n // 4, h, w, c).permute(2, 3, 0, 4, 1, 5)
    return split.reshape(n // 4, 2 * h, 2 * w, c).permute(0, 3, 1, 2)


class _Depthwise(torch.autograd.Function):
    """Stride-1 'same' depthwise convolution; computes only the gradients that are asked for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        needs_x, needs_weight = ctx.needs_input_grad
        ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None)
        ctx.kernel = weight.shape[-1]
        return functional.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if torch.is_grad_enabled():
            raise RuntimeError(NO_SECOND_DERIVATIVE)
        x, weight = ctx.saved_tensors
        kernel: int = ctx.kernel
        (grad,) = grads
        grad_x = grad_weight = None
        if weight is not None:
            flipped = weight.flip(2, 3)
            grad_x = functional.conv2d(grad, flipped, padding=kernel // 2, groups=len(weight))
        if x is not None:
            grad_weight = (
                _grad_weight_5x5(grad, x) if kernel == 5 else _grad_weight(grad, x, kernel)
            )
        return grad_x, grad_weight


def _grad_weight(grad: Tensor, x: Tensor, kernel: int, padding: int | None = None) -> Tensor:
    """Return the weight gradient (C, 1, kernel, kernel) of the plain kernel."""
    channels = x.shape[1]
    pad = [kernel // 2 if padding is None else padding] * 2
    _, result, _ = torch.ops.aten.convolution_backward(
        grad,
        x,
        x.new_empty(channels, 1, kernel, kernel),
        None,
        [1, 1],
        pad,
        [1, 1],
        False,
        [0, 0],
        channels,
        [False, True, False],
    )
    gradient: Tensor = result
    return gradient


def _grad_weight_5x5(grad: Tensor, x: Tensor) -> Tensor:
    """Cut the 5x5 weight gradient from a 6x6 one, whose quarters are 3x3 weight gradients."""
    height, width = grad.shape[2:]
    padded = functional.pad(x, (2, 3, 2, 3))
    whole = x.new_empty(x.shape[1], 1, 6, 6)
    for top in (0, 3):
        for left in (0, 3):
            view = padded[:, :, top : top + height + 2, left : left + width + 2]
            whole[:, :, top : top + 3, left : left + 3] = _grad_weight(grad, view, 3, padding=0)
    return whole[:, :, :5, :5]
