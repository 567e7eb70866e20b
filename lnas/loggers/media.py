"""What is not a number, for the loggers that can show it: W&B and TensorBoard."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from torch import Tensor

from lnas.loggers.base import FolderLogger
from lnas.loggers.wandb_run import WandbRun


def log_picture(trainer: Trainer, name: str, path: str | Path, step: int) -> None:
    """Show a PNG file under `name`; rank 0 only, as all of these."""
    for logger in _loggers(trainer):
        if isinstance(logger, WandbRun):
            logger.picture(name, Path(path))
        elif isinstance(logger, TensorBoardLogger):
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            logger.experiment.add_image(name, pixels, step, dataformats="HWC")


def log_histogram(trainer: Trainer, name: str, values: Tensor, step: int) -> None:
    """Show the distribution of the values, of any shape, under `name`."""
    for logger in _loggers(trainer):
        if isinstance(logger, WandbRun):
            logger.histogram(name, values)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_histogram(name, values.detach().cpu(), step)


def log_table(
    trainer: Trainer, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int
) -> None:
    """Show a table under `name`."""
    for logger in _loggers(trainer):
        if isinstance(logger, WandbRun):
            logger.table(name, columns, rows)
        elif isinstance(logger, TensorBoardLogger):
            lines = [columns, ["---"] * len(columns), *rows]
            text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
            logger.experiment.add_text(name, text, step)


def log_file(trainer: Trainer, path: str | Path, kind: str) -> None:
    """Store a file as an artifact of W&B, e.g. of the kind "genotype"."""
    for logger in _loggers(trainer):
        if isinstance(logger, WandbRun):
            logger.file(Path(path), kind)


def _loggers(trainer: Trainer) -> list[Any]:
    """Return the loggers that write in this process, knowing the run folder."""
    if not trainer.is_global_zero:
        return []
    for logger in trainer.loggers:
        if isinstance(logger, FolderLogger):
            logger.bind(trainer.default_root_dir)
    return list(trainer.loggers)
