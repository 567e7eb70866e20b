"""Blocks: what the kernels compute in one go, and the structure that hands a block over."""

import ctypes
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

Form = tuple[float, int, int]
"""A block's eps, stride and dilation."""

Weights = tuple[Tensor, Tensor, Tensor | None, Tensor | None]
"""A block's kernels, matrix, scale and shift."""


@dataclass(frozen=True)
class Block:
    """ReLU, depthwise and pointwise convolution, normalisation.

    Args:
        depthwise: Its kernels, (C, 1, k, k), k = 3 or 5.
        pointwise: Its matrix, (C, C, 1, 1).
        eps: Added to the variance.
        stride: Of the depthwise convolution.
        dilation: Of the depthwise convolution.
        scale: Of the normalisation, (C,), or None.
        shift: Of the normalisation, (C,), or None.
    """

    depthwise: Tensor
    pointwise: Tensor
    eps: float
    stride: int = 1
    dilation: int = 1
    scale: Tensor | None = None
    shift: Tensor | None = None

    @property
    def weights(self) -> Weights:
        """All that is learnt."""
        return self.depthwise, self.pointwise, self.scale, self.shift


class Call(ctypes.Structure):
    """A block and all that it reads and writes; the same structure stands in blocks.hpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "h", "w", "c", "kernel", "dilation", "stride")),
        *((name, ctypes.c_double) for name in ("eps", "gate")),
        *((name, ctypes.c_void_p) for name in ("x", "before", "depthwise", "pointwise")),
        *((name, ctypes.c_void_p) for name in ("scale", "shift", "z", "moments")),
        *((name, ctypes.c_void_p) for name in ("grad", "factors", "sums", "grad_x")),
        ("add", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("in_sums", "grad_depthwise", "grad_pointwise")),
    )


@final
class Pass:
    """One block in one pass: its tensors, and the call that hands them over."""

    def __init__(self, x: Tensor, before: Tensor | None, weights: Weights, form: Form) -> None:
        n, c, h, w = x.shape
        eps, stride, dilation = form
        self.x, self.before, self.weights = x, before, weights
        self.call = Call(n, h, w, c, weights[0].shape[-1], dilation, stride, eps, 1.0)
        self.kept: dict[str, Tensor] = {}
        depthwise, pointwise, scale, shift = weights
        self.give(x=x, before=before, depthwise=depthwise, pointwise=pointwise)
        self.give(scale=scale, shift=shift)

    def give(self, **tensors: Tensor | None) -> None:
        """Hand over tensors by name, and keep them alive; None leaves one out."""
        for name, tensor in tensors.items():
            if tensor is not None:
                self.kept[name] = tensor
                setattr(self.call, name, tensor.data_ptr())

    def output(self) -> Tensor:
        """Return room for the pointwise result."""
        n, c, h, w = self.x.shape
        shape = (n, c, -(-h // self.call.stride), -(-w // self.call.stride))
        return torch.empty(shape, dtype=self.x.dtype, memory_format=torch.channels_last)
