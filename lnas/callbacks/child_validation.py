"""ChildValidation: how good the derived child is before any training of its own.

Table 1 of Xie et al., "SNAS", ICLR 2019, arXiv:1812.09926: the accuracy of the supernet beside that
of the child, which is the supernet under one-hot gates, its weights as they stand. Each held-out
image is measured by itself: normalisation is by running averages.

| name | gates | running averages |
|---|---|---|
| `supernet` | those of the search: a fresh sample a batch, if the relaxation draws any | its own |
| `child` | one-hot | those of the supernet, as released |
| `recalibrated` | one-hot | estimated anew for the child |

An operation that was mixed with others has seen other inputs than it meets alone, and its averages
need not fit the child. `recalibrated` has means over one pass through the images of the weights
stream, in complete batches of a shuffled order, not augmented, under one-hot gates; see
`plain_averages`. Averages are those of the first rank, as in a checkpoint; recalibrated ones are
means over the ranks.
"""

from collections.abc import Iterator
from itertools import count, islice, repeat
from typing import Any, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from lnas.callbacks.derive_genotype import DeriveGenotype, on_device
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.loggers import log_row
from lnas.operations import mode, plain_averages
from lnas.relaxations import GateSample
from lnas.search import SearchModule
from lnas.search.checks import held_out_loader
from lnas.search.gradients import average, spans_ranks
from lnas.search.measuring import measure
from lnas.search.streams import to_device
from lnas.search.trainer import callbacks_of, data_of

AVERAGES = ("running_mean", "running_var")
TITLES = {
    "supernet": "supernet, running averages",
    "child": "child, running averages of the supernet",
    "recalibrated": "child, running averages of its own",
}


@final
class ChildValidation(Callback):
    """Logs `search/final_<name>_<measure>` and prints them, behind `DeriveGenotype`.

    The run card has the numbers among its results. Weights, averages and random numbers stay as
    they are. Without held-out images one line says that nothing was measured.

    Args:
        calibration_batches: Batches that statistics are estimated from; None: as many as an epoch
            of the search has.

    Raises:
        InputError: `calibration_batches` is below 1.
    """

    def __init__(self, calibration_batches: int | None = None) -> None:
        if calibration_batches is not None and calibration_batches < 1:
            raise InputError(
                f"calibration_batches={calibration_batches} estimates nothing; give 1 or more, or "
                "null for an epoch's."
            )
        self.calibration_batches = calibration_batches

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse to run where there is no genotype yet."""
        self._derivation(trainer)

    @torch.no_grad()
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the three; every rank takes its share."""
        assert isinstance(pl_module, SearchModule)
        genotype = self._derivation(trainer).genotype
        assert genotype is not None
        batches = held_out_batches(trainer, pl_module)
        if not batches:
            if trainer.is_global_zero:
                Console().print("Nothing is held out: the child was not validated.")
            return
        with on_device(trainer, pl_module):
            found = self._measure(trainer, pl_module, genotype, batches)
        row = {
            f"search/final_{name}_{measured}": value
            for name, values in found.items()
            for measured, value in values.items()
        }
        log_row(trainer, {"search/step": pl_module.steps, **row})
        if trainer.is_global_zero:
            Console().print(_table(found))

    def _derivation(self, trainer: Trainer) -> DeriveGenotype:
        callbacks = callbacks_of(trainer)
        before = callbacks[: callbacks.index(self)]
        found = [one for one in before if isinstance(one, DeriveGenotype)]
        if not found:
            raise InputError(
                "ChildValidation has no genotype to validate; give it behind DeriveGenotype in the "
                "list of callbacks."
            )
        return found[-1]

    def _measure(
        self, trainer: Trainer, module: SearchModule, genotype: Genotype, batches: int
    ) -> dict[str, dict[str, float]]:
        like = next(module.supernet.parameters())
        choices = module.space.one_hot(genotype)
        # A child has nothing that only helps a search: see `GateSample.child`.
        child = GateSample.child({name: table.to(like) for name, table in choices.items()})
        averages = first_ranks_averages(module)
        drawn = (module.sample(f"child validation {index}") for index in count())
        own = self._recalibrate(trainer, module, child, averages)
        return {
            "supernet": measure(module, drawn, batches, "running", averages),
            "child": measure(module, repeat(child), batches, "running", averages),
            "recalibrated": measure(module, repeat(child), batches, "running", own),
        }

    def _recalibrate(
        self,
        trainer: Trainer,
        module: SearchModule,
        child: GateSample,
        averages: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the averages that are the child's own, the same on every rank."""
        own = {name: buffer.clone() for name, buffer in averages.items()}
        state: Any = None
        with mode(module, training=False), plain_averages(module.supernet):
            for batch in self._calibration(trainer, module):
                # The averages move in the given copies.
                _, _, state = module.run(batch, "held_out", child, "update", own, state)
        means = average(trainer.strategy, list(own.values()))
        return dict(zip(own, means, strict=True))

    def _calibration(self, trainer: Trainer, module: SearchModule) -> Iterator[Any]:
        """Iterate over this rank's share of the weights stream as it is without augmentation."""
        data = data_of(trainer)
        # Data that is never augmented needs no second loader.
        loader = getattr(data, "calibration_loader", data.train_dataloader)()
        limit = self.calibration_batches or limited(len(loader), trainer.limit_train_batches)
        for batch in islice(loader, limit):
            yield to_device(module, batch)


def first_ranks_averages(module: SearchModule) -> dict[str, Tensor]:
    """Return copies of the supernet's running averages on the first rank, by name."""
    found = {
        name: buffer.clone()
        for name, buffer in module.supernet.named_buffers()
        if name.rpartition(".")[-1] in AVERAGES
    }
    if not found or not spans_ranks(module.trainer.strategy):
        return found
    flat = torch.cat([buffer.flatten() for buffer in found.values()])
    torch.distributed.broadcast(flat, 0)
    pieces = torch.split(flat, [buffer.numel() for buffer in found.values()])
    return {name: piece.view_as(found[name]) for name, piece in zip(found, pieces, strict=True)}


def held_out_batches(trainer: Trainer, module: SearchModule) -> int:
    """Return how many held-out batches the trainer would validate on."""
    try:
        loader: Any = held_out_loader(module)
    except InputError:  # there are none
        return 0
    return limited(len(loader), trainer.limit_val_batches)


def limited(batches: int, limit: int | float) -> int:
    """Return how many of so many batches a limit of the trainer (a number or a share) leaves."""
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def _table(found: dict[str, dict[str, float]]) -> Table:
    table = Table(title="Held out, no retraining", title_justify="left")
    table.add_column("")
    names = list(next(iter(found.values())))
    for name in names:
        table.add_column(name, justify="right")
    for who, values in found.items():
        table.add_row(TITLES[who], *(f"{values[name]:.4f}" for name in names))
    return table
