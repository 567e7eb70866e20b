"""What a trainer has although Lightning's types do not say so."""

from typing import Any

from lightning.pytorch import Callback, Trainer


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return the trainer's callbacks, in its order."""
    found: list[Callback] = getattr(trainer, "callbacks", [])
    return found


def log_interval_of(trainer: Trainer) -> int:
    """Return the number of batches from one row of the logs to the next; 0: no rows."""
    return getattr(trainer, "log_every_n_steps", 0)


def data_of(trainer: Trainer) -> Any:
    """Return the data module of the fit or the test under way; None where loaders were given."""
    return getattr(trainer, "datamodule", None)
