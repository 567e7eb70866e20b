"""CheckpointCells: less memory for a supernet, for more time.

Activation checkpointing (Chen et al., 2016, arXiv:1604.06174): a cell keeps its inputs alone and is
computed again in the backward pass. Gradients, running averages and random numbers are those of a
search without it; see `lnas.supernet.checkpointed`.
"""

from typing import final

from lightning.pytorch import LightningModule, Trainer

from lnas.callbacks.cell_calls import call_cells
from lnas.search import SearchCallback
from lnas.supernet.checkpointed import checkpointed


@final
class CheckpointCells(SearchCallback):
    """Computes each searched cell again for its gradients instead of keeping what is within it."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the cells called so.

        Raises:
            InputError: The supernet is no stack of cells, or its cells are called another way.
        """
        call_cells(self, pl_module, checkpointed)
