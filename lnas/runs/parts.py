"""What every run has besides its configs: records, checkpoints, the run card, a graceful end."""

import sys
from typing import Any

from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lnas.callbacks import AtomicCheckpointIO, GracefulStop, RunCard
from lnas.loggers import MetricsCsv
from lnas.loggers.wandb_run import WandbRun


def is_first_process() -> bool:
    """Whether this process writes files; processes that Lightning relaunched for DDP do not."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def loggers(given: Any) -> list[Logger]:
    """Return the loggers of a run.

    Args:
        given: `trainer.logger`: None or True for the default, W&B beside metrics.csv; False for
            none; else one or many loggers, which take W&B's place.
    """
    if given is False:
        return []
    if given is None or given is True:
        return [MetricsCsv(), WandbRun()]
    chosen: list[Logger] = list(given) if isinstance(given, (list, tuple)) else [given]
    has_csv = any(isinstance(logger, MetricsCsv) for logger in chosen)
    return chosen if has_csv else [MetricsCsv(), *chosen]
