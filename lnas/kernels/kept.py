"""The product of a sequence with a matrix, over the units that dropout leaves each stream.

Where dropout holds for a whole batch (Gal and Ghahramani, 2016), a stream has the same few units at
all of its steps, and no other row of the matrix counts for it.
"""

import ctypes
from typing import final

import torch
from torch import Tensor

from lnas.kernels.convolutions import Functions


@final
class KeptUnits:
    """Which units each stream keeps.

    Args:
        mask: What is not 0 is a unit that a stream keeps, (streams, units).

    Attributes:
        first: Where the units of each stream begin in `units`, (streams + 1,) int64.
        units: Their numbers, int64.
    """

    def __init__(self, mask: Tensor) -> None:
        flags = mask != 0
        self.first = torch.cat([torch.zeros(1, dtype=torch.int64), flags.sum(1).cumsum(0)])
        self.units = flags.nonzero()[:, 1].contiguous()


class _Product(ctypes.Structure):
    """See `Product` in kept.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("steps", "streams", "units", "columns", "apart")),
        *((name, ctypes.c_void_p) for name in ("first", "kept", "features", "matrix", "out")),
        *((name, ctypes.c_void_p) for name in ("grad", "of_features", "of_matrix")),
    )


def kept_product(features: Tensor, kept: KeptUnits, matrix: Tensor) -> Tensor:
    """Return features @ matrix, (steps, streams, columns).

    Args:
        features: (steps, streams, units), see `readable`; 0 where nothing is kept.
        kept: The units that are kept.
        matrix: (units, columns).
    """
    out = features.new_empty(*features.shape[:2], matrix.shape[1])
    _call(features, kept, matrix, out, None, None, None)
    return out


def kept_product_gradients(
    needs: list[bool], grad: Tensor, features: Tensor, kept: KeptUnits, matrix: Tensor
) -> list[Tensor | None]:
    """Return the gradients of features and matrix, those that `needs` asks for.

    The gradient of a feature that is not kept is 0.

    Args:
        needs: Of which of the two gradients are asked for.
        grad: That of the product, (steps, streams, columns).
        features: See `kept_product`.
        kept: See there.
        matrix: See there.
    """
    of_features = features.new_zeros(features.shape) if needs[0] else None
    of_matrix = matrix.new_empty(matrix.shape) if needs[1] else None
    _call(features, kept, matrix, None, grad.contiguous(), of_features, of_matrix)
    return [of_features, of_matrix]


def _call(
    features: Tensor,
    kept: KeptUnits,
    matrix: Tensor,
    out: Tensor | None,
    grad: Tensor | None,
    of_features: Tensor | None,
    of_matrix: Tensor | None,
) -> None:
    features = features.contiguous()
    matrix = matrix if matrix.stride(1) == 1 else matrix.contiguous()
    tensors = kept.first, kept.units, features, matrix, out, grad, of_features, of_matrix
    pointers = [None if tensor is None else tensor.data_ptr() for tensor in tensors]
    call = _Product(*features.shape, matrix.shape[1], matrix.stride(0), *pointers)
    Functions(features).call("kept_product", ctypes.byref(call))
