"""EarlyStop: end a search before its last epoch, for a reason that the run card tells.

The fit ends as it would behind its last epoch: the architecture is derived, the run is finished.
Schedules are measured by `max_epochs`, so that a search which stops early has gone a part of their
way, as in the papers. The reason is in the checkpoint: a run that is killed between its stop and
its end does not go on to train when it is resumed.
"""

from abc import abstractmethod
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from rich import get_console

from lnas.search import SearchCallback, SearchModule
from lnas.search.trainer import callbacks_of


class EarlyStop(SearchCallback):
    """Ends the fit behind the first epoch that gives a reason.

    Attributes:
        reason: Why the search was stopped; None while it was not.
    """

    def __init__(self) -> None:
        self.reason: str | None = None

    @abstractmethod
    def reason_to_stop(self, module: SearchModule, epoch: int) -> str | None:
        """Return why to stop behind this epoch, or None; every rank must give the same answer."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Train no further when a checkpoint says that the search was stopped."""
        if self.reason is not None:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask, and stop."""
        assert isinstance(pl_module, SearchModule)
        epoch = trainer.current_epoch
        self.reason = self.reason_to_stop(pl_module, epoch)
        if self.reason is not None:
            trainer.should_stop = True
            if trainer.is_global_zero:
                # The shared console knows of a live display under way.
                get_console().print(
                    f"Stopped behind epoch {epoch}: {self.reason}.", soft_wrap=True, highlight=False
                )

    def state_dict(self) -> dict[str, Any]:
        """Return the reason."""
        return {"reason": self.reason}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        self.reason = state_dict["reason"]


def reason_of(trainer: Trainer) -> str | None:
    """Return why the search was stopped early; None if it was not."""
    reasons = [part.reason for part in callbacks_of(trainer) if isinstance(part, EarlyStop)]
    return next((reason for reason in reasons if reason is not None), None)
