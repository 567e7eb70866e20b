"""CompileCells: a search whose cells torch.compile makes faster, after minutes of compiling.

See `lnas.supernet.compiling`. It changes rounding, needs a C++ compiler, and compiles each cell for
a weight step and for an architecture step before the first of them, one to two minutes each. Names
in checkpoints are as ever: a search may be resumed with it or without it.
"""

from typing import final

from lightning.pytorch import LightningModule, Trainer

from lnas.callbacks.cell_calls import call_cells
from lnas.search import SearchCallback
from lnas.supernet.compiling import CompiledCells


@final
class CompileCells(SearchCallback):
    """Has torch.compile compile each searched cell.

    Args:
        backend: Which compiler, see `torch.compile`.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self.cells = CompiledCells(backend)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the cells called so.

        Raises:
            InputError: The supernet is no stack of cells, or its cells are called another way.
        """
        call_cells(self, pl_module, self.cells)
