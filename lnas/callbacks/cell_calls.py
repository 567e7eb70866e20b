"""How callbacks have the cells of a supernet called another way."""

from lightning.pytorch import LightningModule

from lnas.errors import InputError
from lnas.search import SearchCallback, SearchModule
from lnas.supernet.base import CellCall, plain


def call_cells(part: SearchCallback, module: LightningModule, call: CellCall) -> None:
    """Have the searched cells called by `call`, from now on.

    Args:
        part: Who asks.
        module: The search.
        call: The way.

    Raises:
        InputError: The supernet is no stack of cells, or they are called another way already.
    """
    assert isinstance(module, SearchModule)
    name = type(part).__name__
    if not hasattr(module.supernet, "cells"):
        raise InputError(
            f"{name} needs a stack of cells, and {type(module.supernet).__name__} is none; "
            "leave the callback out."
        )
    if module.supernet.cell_call not in (plain, call):
        raise InputError(
            f"{name} calls cells another way, and so does a callback before it; choose one of "
            "CheckpointCells (memory) and CompileCells (time)."
        )
    module.supernet.cell_call = call
