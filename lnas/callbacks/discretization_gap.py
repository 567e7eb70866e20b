"""DiscretizationGap: what is lost when the gates of the supernet become those of the derived child.

Both are measured on the same held-out batches with the supernet's weights and the batch's
statistics; the child has one-hot gates and no training of its own.
"""

from itertools import islice
from typing import final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lnas.derivation import magnitudes
from lnas.errors import InputError
from lnas.loggers import log_row
from lnas.relaxations import GateSample
from lnas.search import SearchModule


@final
class DiscretizationGap(Callback):
    """Logs `search/child_<measure>` and `search/gap_<measure>` (child minus supernet) per epoch.

    Nothing is logged when nothing is held out.

    Args:
        batches: Held-out batches per measurement; None: all.

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
        if not trainer.num_val_batches or not sum(trainer.num_val_batches):
            return
        architecture = pl_module.architecture
        child = pl_module.space.project(magnitudes(architecture))
        supernet = self._measure(pl_module, architecture.noise_free())
        derived = self._measure(pl_module, GateSample.child(child))
        row: dict[str, float] = {
            "search/step": pl_module.steps,
            "search/epoch": trainer.current_epoch,
        }
        for name, value in derived.items():
            row[f"search/child_{name}"] = value
            row[f"search/gap_{name}"] = value - supernet[name]
        log_row(trainer, row)

    def _measure(self, module: SearchModule, sample: GateSample) -> dict[str, float]:
        """Return means over the held-out images of all ranks."""
        metrics = module.task.metrics().to(module.device)
        state = None
        for batch in islice(module.held_out_batches(), self.batches):
            loss, output, state = module.run(batch, "held_out", sample, state=state)
            metrics.update(loss, output, batch)
        return metrics.compute()
