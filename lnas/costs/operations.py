"""What each candidate operation costs: parameters, multiply-adds and memory access.

Appendix F, equations 35 to 40, of Xie et al., "SNAS", ICLR 2019, arXiv:1812.09926, in the constants
of the released code. Batch normalisation and ReLU are not counted; an operation of stride 2 reads
its input at its real size. A separable convolution is applied twice, the second half at the size of
the output.
"""

import re
from dataclasses import dataclass

from lnas.errors import InputError


@dataclass(frozen=True)
class OperationCost:
    """Costs of one operation on one edge.

    Args:
        parameters: Weights of its convolutions.
        multiply_adds: Per image; for pools, their comparisons or additions.
        memory_access: Numbers read and written per image, weights included.
    """

    parameters: int
    multiply_adds: int
    memory_access: int


def operation_cost(name: str, channels: int, pixels: int, stride: int = 1) -> OperationCost:
    """Return the cost of an operation with `channels` in and out.

    Args:
        name: Operation of the DARTS or NAS-Bench-201 space.
        channels: Channels C.
        pixels: Pixels of the output, height times width.
        stride: 1 or 2.

    Raises:
        InputError: The operation's cost has no formula.
    """
    read = 4 if stride == 2 else 1  # input pixels per output pixel
    if name in ("none", "noise"):
        return OperationCost(0, 0, 0)
    if name == "skip_connect":
        if stride == 1:
            return OperationCost(0, 0, 2 * channels * pixels)
        # Two half-width 1x1 convolutions, each reading the whole input.
        size = channels**2
        access = 2 * (4 * channels * pixels + channels * pixels // 2) + size
        return OperationCost(size, size * pixels, access)
    if name in ("max_pool_3x3", "avg_pool_3x3"):
        return OperationCost(0, 9 * pixels * channels, (read + 1) * pixels * channels)
    kind, kernel = _parse(name)
    if kind == "conv":
        size = channels**2 * kernel**2
        return OperationCost(size, size * pixels, (read + 1) * pixels * channels + size)
    half = channels * kernel**2 + channels**2
    # Depthwise and pointwise each read and write; only the first read is at the input's size.
    if kind == "dil":
        return OperationCost(half, half * pixels, (read + 3) * channels * pixels + half)
    size = 2 * half
    return OperationCost(size, size * pixels, (read + 7) * channels * pixels + size)


def _parse(name: str) -> tuple[str, int]:
    """Return kind and kernel of a convolution's name."""
    found = re.fullmatch(r"(?:nor_)?(sep_conv|dil_conv|conv)_(\d)x\2", name)
    if found is None:
        raise InputError(
            f"No cost formula for operation {name!r}; known are none, skip_connect, pools, "
            "sep_conv_kxk, dil_conv_kxk and nor_conv_kxk: leave ResourceCost out of this search."
        )
    return found[1].removesuffix("_conv"), int(found[2])
