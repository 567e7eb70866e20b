"""Cells compiled by torch.compile, each for itself.

A compiler fuses what lies between convolutions: ReLU, normalisation, sums. It sees one cell at a
time, since the whole network would take it many times as long, and reads torch's operators in the
place of the compiled kernels, which are closed to it. Compiled passes compute the same up to
rounding: they change rounding.

Left to the usual way are passes without gradients and those of a mask of active operations, which
would be another graph each; for each kind of pass a cell is compiled once.
"""

import types
from typing import final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lnas.relaxations import CellGates
from lnas.supernet.base import CellCall, Path, plain


@final
class CompiledCells:
    """Calls a searched cell compiled; it is compiled the first time.

    Args:
        backend: Which compiler, see `torch.compile`.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self.backend = backend
        self._compiled: WeakKeyDictionary[nn.Module, CellCall] = WeakKeyDictionary()

    def __call__(
        self, cell: nn.Module, given: tuple[Tensor, ...], gates: CellGates, path: Path
    ) -> Tensor:
        """Return the output of the cell; see `CellCall`."""
        if not torch.is_grad_enabled() or gates.active is not None or path == "reference":
            return plain(cell, given, gates, path)
        if cell not in self._compiled:
            own = _own(plain, f"cell_{len(self._compiled)}")
            self._compiled[cell] = torch.compile(own, dynamic=False, backend=self.backend)
        return self._compiled[cell](cell, given, gates, path)

    def __reduce__(self) -> tuple[type["CompiledCells"], tuple[str]]:
        """A copied supernet has cells of its own to compile."""
        return CompiledCells, (self.backend,)


def _own(function: CellCall, name: str) -> CellCall:
    """Return the function with code of its own: what is compiled is kept, and limited, by code."""
    assert isinstance(function, types.FunctionType)
    code = function.__code__.replace(co_name=name)
    return types.FunctionType(code, function.__globals__, name)
