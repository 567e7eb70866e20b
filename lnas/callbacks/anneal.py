"""Anneal: lead a number of the relaxation or the supernet along a schedule of search progress.

What changes what the network computes is a buffer, so the annealed value is in every checkpoint;
the schedule itself is recomputed from progress.
"""

from typing import final

from lightning.pytorch import LightningModule, Trainer

from lnas.errors import InputError
from lnas.schedules import Schedule
from lnas.search import SearchCallback, SearchModule


@final
class Anneal(SearchCallback):
    """Writes `schedule(progress)` into a buffer at the start of each epoch.

    Progress is (epoch + 1) / epochs by default, as in SNAS's released code, whose first value lies
    one epoch below the schedule's start and whose last epoch runs at its end.

    Args:
        attribute: Name of the buffer: what the relaxation or the supernet lists as annealable, e.g.
            "temperature" or "auxiliary_skip".
        schedule: Value over progress.
        reach: Which epochs meet the ends: "end", the last one only, at (epoch + 1) / epochs, as
            SNAS; "both", the first and the last, at epoch / (epochs - 1), as PR-DARTS; or "start",
            the first one only, at epoch / epochs.
    """

    def __init__(self, attribute: str, schedule: Schedule, reach: str = "end") -> None:
        if reach not in ("start", "end", "both"):
            raise InputError(f"reach={reach!r} is unknown; choose 'start', 'end' or 'both'.")
        self.attribute, self.schedule, self.reach = attribute, schedule, reach
        self._value: float | None = None

    @property
    def state_key(self) -> str:
        """Two Anneal callbacks of different attributes may stand side by side."""
        return f"Anneal({self.attribute})"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse an attribute that nothing offers for annealing."""
        assert isinstance(pl_module, SearchModule)
        relaxation, supernet = pl_module.architecture.relaxation, pl_module.supernet
        offered = [*relaxation.annealable, *supernet.annealable]
        if self.attribute not in offered:
            raise InputError(
                f"{type(relaxation).__name__} has no {self.attribute!r} to anneal, nor has "
                f"{type(supernet).__name__} as it is; choose one of {offered}, or give the "
                "supernet a number to start from."
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Know the value of an epoch that a search resumes within."""
        self._value = self._value_of(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the value of this epoch."""
        assert isinstance(pl_module, SearchModule)
        self._value = self._value_of(trainer)
        relaxation = pl_module.architecture.relaxation
        owner = relaxation if self.attribute in relaxation.annealable else pl_module.supernet
        getattr(owner, self.attribute).fill_(self._value)

    def _value_of(self, trainer: Trainer) -> float:
        epoch, epochs = trainer.current_epoch, trainer.max_epochs or 1
        progress = {
            "start": epoch / epochs,
            "end": (epoch + 1) / epochs,
            "both": epoch / max(epochs - 1, 1),
        }[self.reach]
        return float(self.schedule(progress))

    def signals(self) -> dict[str, float]:
        """Return the value of this epoch, for the logs."""
        return {} if self._value is None else {self.attribute: self._value}
