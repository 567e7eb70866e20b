"""A matrix of a recurrent cell's fast path, which a sequence multiplies by at each of its steps."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from lnas.kernels import Panels, Room, readable


class Matrix(ABC):
    """Multiplies rows by a matrix, and gradients by its transpose."""

    @abstractmethod
    def forward(self, rows: Tensor, out: Tensor, add: Tensor | None = None) -> Tensor:
        """Write rows @ matrix, plus `add`, to `out`, (rows, columns), and return it."""

    @abstractmethod
    def backward(self, of_out: Tensor, of_rows: Tensor, factors: Tensor | None = None) -> Tensor:
        """Add the gradients of rows that were read times `factors` to `of_rows`; return it."""


def matrix_for(weight: Tensor, keeps: bool, room: Room) -> Matrix:
    """Return the matrix `weight`, (inner, columns).

    Args:
        weight: Its numbers; they must not change before the last product.
        keeps: There will be a backward.
        room: Holds what is made of it.
    """
    return _LaidOut(weight, keeps, room) if readable(weight) else _Plain(weight)


@final
class _Plain(Matrix):
    """With torch's operators."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def forward(self, rows: Tensor, out: Tensor, add: Tensor | None = None) -> Tensor:
        if add is None:
            return torch.mm(rows, self.weight, out=out)
        return torch.addmm(add, rows, self.weight, out=out)

    def backward(self, of_out: Tensor, of_rows: Tensor, factors: Tensor | None = None) -> Tensor:
        product = of_out @ self.weight.t()
        return of_rows.add_(product) if factors is None else of_rows.addcmul_(product, factors)


@final
class _LaidOut(Matrix):
    """With compiled functions, for which the matrix is laid out once."""

    def __init__(self, weight: Tensor, keeps: bool, room: Room) -> None:
        self.matrix = Panels(weight, room)
        self.transpose = Panels(weight.t(), room) if keeps else self.matrix

    def forward(self, rows: Tensor, out: Tensor, add: Tensor | None = None) -> Tensor:
        return self.matrix.multiply(rows, out, add)

    def backward(self, of_out: Tensor, of_rows: Tensor, factors: Tensor | None = None) -> Tensor:
        return self.transpose.multiply(of_out, of_rows, of_rows, factors)
