"""What every run has besides its configs: records, checkpoints, the run card, a graceful end.

A search that derives a genotype validates the child as well.
"""

import sys
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import Logger
from lightning_utilities.core.rank_zero import rank_zero_only

from lnas.callbacks import (
    AtomicCheckpointIO,
    Checkpoints,
    ChildValidation,
    DeriveGenotype,
    GracefulStop,
    LiveTerminal,
    RunCard,
)
from lnas.errors import InputError
from lnas.loggers import MetricsCsv, WandbRun
from lnas.tasks import Measure


def is_first_process() -> bool:
    """Whether this process writes files; processes that Lightning relaunched for DDP do not."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def add_parts(
    trainer: Mapping[str, Any], settings: Mapping[str, Any], measure: Measure | None = None
) -> dict[str, Any]:
    """Return the trainer's arguments with what every run has.

    Args:
        trainer: The arguments that the options give.
        settings: The effective settings, for the run card.
        measure: What the best epoch of an evaluation is kept by; None for a search.

    Raises:
        InputError: The options leave out what a run cannot do without.
    """
    if trainer.get("enable_checkpointing") is False:
        raise InputError(
            "trainer.enable_checkpointing=false leaves a run that cannot be resumed; leave it out."
        )
    if trainer.get("overfit_batches"):
        raise InputError(
            f"trainer.overfit_batches={trainer['overfit_batches']} would take the order of the "
            "streams away; use trainer.limit_train_batches."
        )
    callbacks = as_list(trainer.get("callbacks"))
    if measure is None:
        # A search ends with a genotype, and the genotype with its child's accuracy.
        for part in (DeriveGenotype, ChildValidation):
            if not any(isinstance(one, part) for one in callbacks):
                callbacks.append(part())
    if not any(isinstance(one, Checkpoints) for one in callbacks):
        best = None if measure is None else f"eval/val_{measure.name}"
        callbacks.append(Checkpoints(monitor=best, mode=measure.mode if measure else "max"))
    # GracefulStop last: behind an epoch it leaves when the epoch's checkpoint is complete.
    callbacks += [RunCard(dict(settings)), GracefulStop()]
    has_bar = any(isinstance(one, ProgressBar) for one in callbacks)
    shown = trainer.get("enable_progress_bar") is not False and sys.stdout.isatty()
    if shown and not has_bar:
        callbacks.append(LiveTerminal())
    return {
        **trainer,
        "logger": loggers(trainer.get("logger")),
        "callbacks": callbacks,
        "plugins": [*as_list(trainer.get("plugins")), AtomicCheckpointIO()],
        "enable_progress_bar": shown or has_bar,
        "enable_model_summary": bool(trainer.get("enable_model_summary")),
    }


def loggers(given: Any) -> list[Logger]:
    """Return the loggers of a run.

    Args:
        given: `trainer.logger`: None or True for the default, W&B beside metrics.csv; False for
            metrics.csv alone; else one or many loggers, which take W&B's place.
    """
    if given is None or given is True:
        return [MetricsCsv(), WandbRun()]
    chosen = as_list(given or None)
    has_csv = any(isinstance(logger, MetricsCsv) for logger in chosen)
    return chosen if has_csv else [MetricsCsv(), *chosen]


def as_list(value: Any) -> list[Any]:
    """Return none, one or many as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
