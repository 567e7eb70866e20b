"""CaptureGraphs: on a GPU, one launch for a supernet's forward pass and one for its backward.

Of no paper: a search step on small images is thousands of launches, which take the host longer than
the GPU computes; captured it is two a pass and some 300 for all that is not the supernet. Memory is
that of the largest pass, for good; `lnas.supernet.graphs` says what is captured and when. Libraries
may choose other kernels within a capture: the option may change rounding.

Not measured here: it was tested without a GPU, on recorded operators.
"""

from typing import final

from lightning.pytorch import LightningModule, Trainer

from lnas.errors import InputError
from lnas.search import SearchCallback, SearchModule, SecondOrder
from lnas.supernet.checkpointed import checkpointed
from lnas.supernet.graphs import CapturedCalls, usual


@final
class CaptureGraphs(SearchCallback):
    """Captures passes of the supernet as CUDA graphs."""

    def __init__(self) -> None:
        self.calls = CapturedCalls()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the supernet called captured.

        Raises:
            InputError: There is no GPU, or passes cannot be captured.
        """
        assert isinstance(pl_module, SearchModule)
        reason = _obstacle(trainer, pl_module)
        if reason:
            raise InputError(f"CaptureGraphs {reason}; leave it out.")
        pl_module.supernet_call = self.calls

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse cells that are called twice, whichever callback came first.

        Raises:
            InputError: They are.
        """
        assert isinstance(pl_module, SearchModule)
        if pl_module.supernet.cell_call is checkpointed:
            raise InputError("CaptureGraphs and CheckpointCells do not go together; choose one.")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the supernet called as usual again."""
        assert isinstance(pl_module, SearchModule)
        pl_module.supernet_call = usual


def _obstacle(trainer: Trainer, module: SearchModule) -> str | None:
    """Return why passes cannot be captured."""
    if trainer.strategy.root_device.type != "cuda":
        return f"needs a CUDA device, and the search runs on {trainer.strategy.root_device}"
    if isinstance(module.strategy, SecondOrder):
        return "cannot capture passes under virtual weights, which SecondOrder makes"
    if not hasattr(module.supernet, "cells"):
        return f"needs a stack of cells, and {type(module.supernet).__name__} is none"
    if module.supernet.is_random:
        return "cannot capture dropped paths and skips or noise, which are drawn for each batch"
    return None
