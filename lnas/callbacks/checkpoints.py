"""When checkpoints are written, and what a resumed run takes back.

`checkpoints/last.ckpt` is written at the end of each epoch, after everybody's hooks, and in
between every so many minutes or steps. The last batch of an epoch is left to the end of the epoch:
Lightning resumes a checkpoint written there behind the validation, which would never run.
"""

import math
import time
from pathlib import Path
from typing import Any, Literal, final

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from lnas.errors import InputError, NonFiniteError
from lnas.loggers import FolderLogger, MetricsCsv

FOLDER = "checkpoints"


def last_checkpoint(trainer: Trainer) -> Path:
    """Return the path of the checkpoint that a run is resumed from."""
    return Path(trainer.default_root_dir) / FOLDER / "last.ckpt"


def save(trainer: Trainer, path: Path) -> None:
    """Write a checkpoint to `path`; every rank must call it.

    Raises:
        NonFiniteError: The last step left weights that are no numbers: the file stays as it is.
    """
    for name, weight in trainer.lightning_module.named_parameters():
        if not torch.isfinite(weight).all():
            raise NonFiniteError(
                f"The step of epoch {trainer.current_epoch}, batch {trainer.fit_loop.batch_idx}, "
                f"has left {name} not finite; lower the learning rate or check the data."
            )
    trainer.save_checkpoint(path, weights_only=False)


def is_last_batch(trainer: Trainer, batch_idx: int) -> bool:
    """Whether validation or the end of the epoch follow at once."""
    return batch_idx + 1 >= trainer.num_training_batches


@final
class Checkpoints(Checkpoint):
    """Writes `last.ckpt`, and `best.ckpt` if asked; rewinds metrics.csv when a run is resumed.

    Args:
        every_minutes: Also write when so many minutes have passed since the last one; None: never.
        every_steps: Also write every so many batches of an epoch; None: never.
        monitor: Name of a logged value, e.g. `eval/val_accuracy`, whose best epoch is kept as
            `best.ckpt`; an epoch without the value keeps none.
        mode: Whether the largest or the smallest value is best.

    Raises:
        InputError: An interval is not positive, or the mode is unknown.
    """

    def __init__(
        self,
        every_minutes: float | None = 10.0,
        every_steps: int | None = None,
        monitor: str | None = None,
        mode: Literal["max", "min"] = "max",
    ) -> None:
        super().__init__()
        for name, value in (("every_minutes", every_minutes), ("every_steps", every_steps)):
            if value is not None and not value > 0:
                raise InputError(f"{name}={value} is no interval; give a number above 0, or null.")
        if mode not in ("max", "min"):
            raise InputError(f"mode={mode!r} is unknown; choose max or min.")
        self.every_minutes, self.every_steps = every_minutes, every_steps
        self.monitor, self.mode = monitor, mode
        self.best: float | None = None
        self.best_model_path = ""
        self._rows: int | None = None
        self._trainer: Trainer | None = None
        self._written = time.monotonic()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remember whose loggers count the rows."""
        self._trainer = trainer

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the loggers back to the rows that the checkpoint knows of."""
        rows, self._rows = self._rows, None
        if rows is None or not trainer.is_global_zero:
            return
        # The file first: others repeat what it holds.
        for logger in sorted(trainer.loggers, key=lambda one: not isinstance(one, MetricsCsv)):
            if isinstance(logger, FolderLogger):
                logger.bind(trainer.default_root_dir)
                logger.rewind(rows)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._written = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write when it is time."""
        if is_last_batch(trainer, batch_idx):
            return
        due = self.every_steps is not None and (batch_idx + 1) % self.every_steps == 0
        if self.every_minutes is not None and not due:
            waited = time.monotonic() - self._written >= 60 * self.every_minutes
            due = trainer.strategy.reduce_boolean_decision(waited, all=False)
        if due:
            self._write(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's checkpoint, and keep the best."""
        score = trainer.callback_metrics.get(self.monitor) if self.monitor else None
        if score is not None and math.isfinite(score) and self._is_better(float(score)):
            self.best = float(score)
            path = last_checkpoint(trainer).with_name("best.ckpt")
            save(trainer, path)
            self.best_model_path = str(path)
        self._write(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of rows logged, and the best value."""
        loggers = self._trainer.loggers if self._trainer else []
        rows = [logger.rows for logger in loggers if isinstance(logger, MetricsCsv)]
        return {"rows": rows[0] if rows else 0, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned; the rows are used at the start of a fit."""
        self._rows, self.best = int(state_dict["rows"]), state_dict["best"]
        if self.best is not None and self._trainer is not None:
            path = last_checkpoint(self._trainer).with_name("best.ckpt")
            self.best_model_path = str(path) if path.is_file() else ""

    def _is_better(self, score: float) -> bool:
        if self.best is None:
            return True
        return score > self.best if self.mode == "max" else score < self.best

    def _write(self, trainer: Trainer) -> None:
        save(trainer, last_checkpoint(trainer))
        self._written = time.monotonic()
