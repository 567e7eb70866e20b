"""What callbacks have in common that have the cells of a supernet called another way."""

from abc import abstractmethod

from lightning.pytorch import LightningModule, Trainer

from lnas.errors import InputError
from lnas.search import SearchCallback, SearchModule
from lnas.supernet.base import CellCall, plain


class CellCalls(SearchCallback):
    """Has the searched cells of a supernet called its own way for a fit."""

    @property
    @abstractmethod
    def call(self) -> CellCall:
        """The way."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the cells called so.

        Raises:
            InputError: The supernet is no stack of cells, or they are called another way already.
        """
        assert isinstance(pl_module, SearchModule)
        name, supernet = type(self).__name__, pl_module.supernet
        if not hasattr(supernet, "cells"):
            raise InputError(
                f"{name} needs a stack of cells, and {type(supernet).__name__} is none; leave the "
                "callback out."
            )
        if supernet.cell_call is not plain:
            raise InputError(
                f"{name} calls cells another way, and so does a callback before it; choose one of "
                "CheckpointCells (memory) and CompileCells (time)."
            )
        supernet.cell_call = self.call

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the cells called as usual again."""
        assert isinstance(pl_module, SearchModule)
        pl_module.supernet.cell_call = plain
