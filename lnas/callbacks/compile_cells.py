"""CompileCells: a search whose cells torch.compile makes faster, after minutes of compiling.

See `lnas.supernet.compiling`. It changes rounding, needs a C++ compiler, and compiles each cell for
a weight step and for an architecture step before the first of them, minutes each; what it gains on
a machine says `lnas speed --compile`. Names in checkpoints are as ever: a search may be resumed
with it or without it.
"""

from typing import final

from lnas.callbacks.cell_calls import CellCalls
from lnas.supernet.base import CellCall
from lnas.supernet.compiling import CompiledCells


@final
class CompileCells(CellCalls):
    """Has torch.compile compile each searched cell.

    Args:
        backend: Which compiler, see `torch.compile`.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self.cells = CompiledCells(backend)

    @property
    def call(self) -> CellCall:
        """Compute a cell compiled."""
        return self.cells
