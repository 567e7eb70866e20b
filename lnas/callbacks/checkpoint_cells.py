"""CheckpointCells: less memory for a supernet, for more time.

Activation checkpointing (Chen et al., 2016, arXiv:1604.06174): a cell keeps its inputs alone and is
computed again in the backward pass. Gradients, running averages and random numbers are those of a
search without it; see `lnas.supernet.checkpointed`.
"""

from typing import final

from lnas.callbacks.cell_calls import CellCalls
from lnas.supernet.base import CellCall
from lnas.supernet.checkpointed import checkpointed


@final
class CheckpointCells(CellCalls):
    """Computes each searched cell again for its gradients instead of keeping what is within it."""

    @property
    def call(self) -> CellCall:
        """Compute a cell twice."""
        return checkpointed
