"""The records of a run: rows of numbers over one axis of steps, the same for every logger.

Rows are not logged with `LightningModule.log`: its epoch sums are absent from checkpoints, and a
resumed run would log other values than an uninterrupted one.
"""

from collections.abc import Mapping

import torch
from lightning.pytorch import Trainer

from lnas.loggers.base import FolderLogger

STEP_KEYS = ("search/step", "eval/step")
"""The x-axis of a row: weight steps since the start of a search or of an evaluation."""

Number = int | float | torch.Tensor


def log_row(trainer: Trainer, row: Mapping[str, Number]) -> None:
    """Hand one row to every logger of the trainer, on rank 0; the other ranks do nothing.

    Args:
        trainer: The trainer whose loggers write; its `default_root_dir` is the run folder.
        row: Values by name (`search/loss_weights`, ...), one of them `search/step` or `eval/step`.

    Raises:
        InputError: A logger cannot write into the run folder.
    """
    if not trainer.is_global_zero:
        return
    values = {name: _plain(value) for name, value in row.items()}
    step = step_of(values)
    for logger in trainer.loggers:
        if isinstance(logger, FolderLogger):
            logger.bind(trainer.default_root_dir)
        logger.log_metrics(values, step)
        logger.save()


def step_of(row: Mapping[str, float]) -> int:
    """Return the row's place on the axis of steps.

    Raises:
        KeyError: The row names none of `STEP_KEYS`.
    """
    for key in STEP_KEYS:
        if key in row:
            return int(row[key])
    raise KeyError(f"A row needs one of {STEP_KEYS}; it has {sorted(row)}.")


def _plain(value: Number) -> int | float:
    """Return a Python number: steps and counts stay whole."""
    if isinstance(value, torch.Tensor):
        value = value.item()
    return int(value) if isinstance(value, int) else float(value)
