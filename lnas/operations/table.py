"""The table of operations: name -> builder.

A name registered here can stand in every space and genotype.
"""

from collections.abc import Callable
from difflib import get_close_matches

from torch import nn

from lnas.errors import InputError
from lnas.genotype import add_operation
from lnas.operations.convolutional import (
    CrossConv,
    DilatedConv,
    Noise,
    Pool,
    ReLUConv,
    SeparableConv,
    Zero,
)
from lnas.operations.reduction import FactorizedReduce

Builder = Callable[[int, int, bool, bool], nn.Module]
"""`builder(channels, stride, affine, search)`; see `build`."""


def _pool(kind: str) -> Builder:
    return lambda channels, stride, affine, search: Pool(kind, channels, stride, normalize=search)


def _separable(kernel: int) -> Builder:
    return lambda channels, stride, affine, search: SeparableConv(
        channels, kernel, stride, affine, fast=not search
    )


def _dilated(kernel: int) -> Builder:
    return lambda channels, stride, affine, search: DilatedConv(channels, kernel, stride, affine)


def _dense(kernel: int) -> Builder:
    return lambda channels, stride, affine, search: ReLUConv(channels, kernel, stride, affine)


def _skip(channels: int, stride: int, affine: bool, search: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, affine)


_TABLE: dict[str, Builder] = {
    "none": lambda channels, stride, affine, search: Zero(stride),
    "max_pool_3x3": _pool("max"),
    "avg_pool_3x3": _pool("avg"),
    "skip_connect": _skip,
    "sep_conv_3x3": _separable(3),
    "sep_conv_5x5": _separable(5),
    "sep_conv_7x7": _separable(7),
    "dil_conv_3x3": _dilated(3),
    "dil_conv_5x5": _dilated(5),
    "conv_7x1_1x7": lambda channels, stride, affine, search: CrossConv(channels, 7, stride, affine),
    "nor_conv_1x1": _dense(1),
    "nor_conv_3x3": _dense(3),
    "noise": lambda channels, stride, affine, search: Noise(stride),
}


def names() -> tuple[str, ...]:
    """Return the names of all operations."""
    return tuple(_TABLE)


def register(name: str, builder: Builder) -> None:
    """Add an operation, or replace one; genotypes may name it from then on.

    Args:
        name: Name in spaces, genotypes and state dicts: letters, digits and underscores.
        builder: Called as `builder(channels, stride, affine, search)`.

    Raises:
        InputError: The name cannot name an operation.
    """
    add_operation(name)
    _TABLE[name] = builder


def build(name: str, channels: int, stride: int, affine: bool, search: bool) -> nn.Module:
    """Build one operation, (N, C, H, W) -> (N, C, H / stride, W / stride).

    Args:
        name: Name of the operation.
        channels: Number of channels C.
        stride: 1 or 2.
        affine: Learn scale and shift of normalisations.
        search: Stands in a DARTS search net: pools are followed by a non-affine normalisation, and
            second derivatives exist (derived networks trade them for speed).

    Raises:
        InputError: The name is unknown.
    """
    if name not in _TABLE:
        near = get_close_matches(name, _TABLE, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; register it with operations.register"
        raise InputError(f"unknown operation {name!r}; known are {', '.join(_TABLE)}{hint}")
    return _TABLE[name](channels, stride, affine, search)
