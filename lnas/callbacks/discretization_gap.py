"""DiscretizationGap: what is lost when the gates of the supernet become those of the derived child.

Both are measured on the same held-out batches with the supernet's weights and the batch's
statistics; the child has one-hot gates and no training of its own.
"""

from itertools import repeat
from math import inf
from typing import final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lnas.derivation import magnitudes
from lnas.errors import InputError
from lnas.loggers import log_row
from lnas.relaxations import GateSample
from lnas.search import SearchModule
from lnas.search.measuring import measure


@final
class DiscretizationGap(Callback):
    """Logs `search/child_<measure>` and `search/gap_<measure>` (child minus supernet) per epoch.

    Nothing is logged when nothing is held out.

    Args:
        batches: Held-out batches per measurement; None: as many as the trainer validates on.

    Raises:
        InputError: `batches` is below 1.
    """

    def __init__(self, batches: int | None = None) -> None:
        if batches is not None and batches < 1:
            raise InputError(f"batches={batches} measures nothing; give 1 or more, or null.")
        self.batches = batches

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure supernet and child; every rank takes its share."""
        assert isinstance(pl_module, SearchModule)
        limit = sum(trainer.num_val_batches)
        if not limit:
            return
        batches = min(limit, inf if self.batches is None else self.batches)
        measured = None if batches == inf else int(batches)
        architecture = pl_module.architecture
        child = GateSample.child(pl_module.space.project(magnitudes(architecture)))
        supernet = measure(pl_module, repeat(architecture.noise_free()), measured)
        derived = measure(pl_module, repeat(child), measured)
        row: dict[str, float] = {
            "search/step": pl_module.steps,
            "search/epoch": trainer.current_epoch,
        }
        for name, value in derived.items():
            row[f"search/child_{name}"] = value
            row[f"search/gap_{name}"] = value - supernet[name]
        log_row(trainer, row)
