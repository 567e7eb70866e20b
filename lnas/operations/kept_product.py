"""The product of a sequence with a matrix, without the work for units that dropout has zeroed."""

from typing import Any

import torch
from torch import Tensor

from lnas import kernels
from lnas.errors import NO_SECOND_DERIVATIVE

# Up to this share of kept units and from so many steps on, products over the kept units of one
# stream after another win over few large ones.
SHARE, STEPS = 0.5, 4


def leaves_few_units(mask: Tensor, sequence: Tensor) -> bool:
    """Whether compiled functions, which take the kept units alone, are there and faster.

    Args:
        mask: Factors of the units for the whole sequence, (streams, units).
        sequence: (steps, streams, units).
    """
    if len(sequence) < STEPS or not kernels.readable(sequence):
        return False
    return int(mask.count_nonzero()) <= SHARE * mask.numel()


def masked_product(sequence: Tensor, matrix: Tensor, mask: Tensor | None) -> Tensor:
    """Return (sequence * mask) @ matrix, (steps, streams, columns).

    Args:
        sequence: (steps, streams, units).
        matrix: (units, columns).
        mask: Factors of the units, (streams, units); None: 1.
    """
    if mask is None:
        return sequence @ matrix
    masked = sequence * mask
    if not leaves_few_units(mask, masked):
        return masked @ matrix
    product: Tensor = _KeptProduct.apply(kernels.KeptUnits(mask), masked, matrix)
    return product


class _KeptProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kept: kernels.KeptUnits, sequence: Tensor, matrix: Tensor) -> Tensor:
        ctx.kept = kept
        ctx.save_for_backward(sequence, matrix)
        return kernels.kept_product(sequence, kept, matrix)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(NO_SECOND_DERIVATIVE)
        sequence, matrix = ctx.saved_tensors
        needs = list(ctx.needs_input_grad[1:])
        found = kernels.kept_product_gradients(needs, grads[0], sequence, ctx.kept, matrix)
        return (None, *found)
