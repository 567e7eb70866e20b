"""Derivation from a finished search: another criterion looks at the same supernet.

It is the search once more, resumed behind its last epoch into a folder of its own, with nothing
left to do but to derive.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from lnas.callbacks import AtomicCheckpointIO, DeriveGenotype, GracefulStop, RunCard
from lnas.errors import InputError
from lnas.runs.folder import LAST, RunFolder
from lnas.runs.training import close_loggers, named_errors, prepare
from lnas.search.state import KEY

KEPT = (DeriveGenotype, RunFolder, RunCard, GracefulStop)


@final
class NoTraining(Callback):
    """Lets a fit go from its start to its end: a search that stopped early is not to go on."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before the first batch."""
        trainer.should_stop = True


def derive(run: Path, arguments: Sequence[str], callbacks: Sequence[Callback] = ()) -> Path:
    """Derive a cell from the last checkpoint of a search.

    Args:
        run: The folder of the search.
        arguments: Its settings, with the criterion in `trainer.callbacks`, and a run folder.
        callbacks: Further callbacks; they are left out, since there is no training to watch.

    Returns:
        The folder with the genotype.

    Raises:
        InputError: The search has no checkpoint.
    """
    return look(run, arguments, ())


def look(run: Path, arguments: Sequence[str], watchers: Sequence[Callback]) -> Path:
    """Resume a finished search behind its last epoch, for what happens at the end of the fit.

    Args:
        run: The folder of the search.
        arguments: Its settings and a run folder.
        watchers: What looks at the search, in the place of its own callbacks; when there is none,
            `DeriveGenotype` derives again.

    Returns:
        The run folder.

    Raises:
        InputError: The search has no checkpoint.
    """
    if not (run / LAST).is_file():
        raise InputError(f"{run} has no {LAST} to derive from; finish the search first.")
    cli = prepare("search", arguments)
    # The checkpoint knows of rows that this folder does not have.
    trainer: Any = cli.trainer
    kinds = (RunFolder, GracefulStop) if watchers else KEPT
    kept = [one for one in trainer.callbacks if isinstance(one, kinds)]
    trainer.callbacks = [NoTraining(), *kept, *watchers]
    own = cli.folder / ".search.ckpt"
    try:
        with named_errors(cli.folder):
            _pass_on(run / LAST, own, keep_clock=RunCard in kinds)
            trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=str(own))
            close_loggers(trainer)
    finally:
        own.unlink(missing_ok=True)
    return cli.folder


def _pass_on(source: Path, target: Path, keep_clock: bool) -> None:
    """Copy a checkpoint without what only a training needs: the other ranks, the callbacks.

    Args:
        source: The checkpoint.
        target: The copy.
        keep_clock: Keep how long the search took, for the run card of what follows.
    """
    checkpoint = AtomicCheckpointIO().load_checkpoint(source)
    checkpoint[KEY]["ranks"] = checkpoint[KEY]["ranks"][:1]
    clock = RunCard().state_key
    states = checkpoint["callbacks"].items()
    checkpoint["callbacks"] = {
        name: state for name, state in states if name == clock and keep_clock
    }
    AtomicCheckpointIO().save_checkpoint(checkpoint, target)
