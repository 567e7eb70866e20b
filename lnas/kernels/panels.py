"""Products of a few rows with a matrix that stays the same for many of them.

A recurrent cell multiplies the rows of a time step by matrices that are far larger, at each step by
the same ones. They are laid out once as the product reads them, instead of in each product.
"""

import ctypes
from typing import final

from torch import Tensor

from lnas.kernels.convolutions import Functions
from lnas.kernels.room import Room

MULTIPLE = 48  # of columns, so that panels of every kind fit in


class _Panels(ctypes.Structure):
    """See `Panels` in panels.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("rows", "inner", "columns")),
        *((name, ctypes.c_int64) for name in ("from_apart", "to_apart", "add_apart")),
        *((name, ctypes.c_void_p) for name in ("from", "panels", "factors", "add", "to")),
    )


@final
class Panels:
    """A matrix to multiply by from the right.

    Args:
        matrix: (inner, columns), see `readable`; what is done to it later does not count.
        room: Holds it as the product reads it.
    """

    def __init__(self, matrix: Tensor, room: Room) -> None:
        self.inner, self.columns = matrix.shape
        self.panels = room.empty(matrix, self.inner, -(-self.columns // MULTIPLE) * MULTIPLE)
        self.functions = Functions(matrix)
        sizes = (ctypes.c_int64(size) for size in (*matrix.shape, *matrix.stride()))
        given, to = (ctypes.c_void_p(each.data_ptr()) for each in (matrix, self.panels))
        self.functions.call("panels_pack", given, *sizes, to)

    def multiply(
        self, rows: Tensor, out: Tensor, add: Tensor | None = None, factors: Tensor | None = None
    ) -> Tensor:
        """Write rows @ matrix, times `factors`, plus `add`, to `out`, and return it.

        Args:
            rows: (rows, inner), the numbers of a row side by side.
            out: (rows, columns), likewise.
            add: (rows, columns), likewise; may be `out`.
            factors: (rows, columns).
        """
        factors = None if factors is None else factors.contiguous()
        apart = rows.stride(0), out.stride(0), 0 if add is None else add.stride(0)
        tensors = rows, self.panels, factors, add, out
        given = [None if tensor is None else tensor.data_ptr() for tensor in tensors]
        call = _Panels(len(rows), self.inner, self.columns, *apart, *given)
        self.functions.call("panels_multiply", ctypes.byref(call))
        return out
