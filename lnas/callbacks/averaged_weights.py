"""AveragedWeights: from SGD to averaged SGD when validation no longer improves.

The non-monotonically triggered averaging of Merity et al., "Regularizing and Optimizing LSTM
Language Models", ICLR 2018, arXiv:1708.02182, as the released recurrent DARTS trains its cells:
when the held-out loss of an epoch is above the best of all epochs but the last `patience`, the mean
of the weights of all further steps is kept. The optimizer goes on as it is. With t0 = 0 and
lambd = 0 torch's ASGD is SGD with such a mean; like it, the mean starts at the second step.

Validation, test and `state_dict` of every checkpoint have the mean; what training goes on with is
in the callback's state. Deviation from the released code: torch's ASGD steps with the rate of the
batch before, which differs where rates follow the length of a batch; here a step has its own rate.
"""

from typing import Any, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lnas.errors import InputError
from lnas.loggers import log_row
from lnas.search.trainer import data_of


@final
class AveragedWeights(Callback):
    """Starts to average the weights behind an epoch, and lends the mean to whoever measures.

    Args:
        patience: Epochs whose losses do not count as the best (`nonmono` in the released code).
        monitor: Name of the held-out loss.

    Attributes:
        losses: Held-out losses of the epochs before averaging.
        steps: Steps since averaging began; None before.

    Raises:
        InputError: `patience` is negative.
    """

    def __init__(self, patience: int = 5, monitor: str = "eval/val_loss") -> None:
        if patience < 0:
            raise InputError(f"patience={patience} is no number of epochs; give 0 or more.")
        self.patience, self.monitor = patience, monitor
        self.losses: list[float] = []
        self.steps: int | None = None
        self._weights: dict[str, Tensor] = {}  # of the module: what the optimizer moves
        self._others: dict[str, Tensor] = {}  # the mean; while that is lent, the weights
        self._lent = self._measured = False
        self._restored: dict[str, Tensor] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a training that validates nothing."""
        data = data_of(trainer)
        nothing = data is not None and isinstance(data.val_dataloader(), list)
        if stage == "fit" and (nothing or not trainer.limit_val_batches):
            raise InputError(
                "AveragedWeights waits for held-out losses and nothing is held out; hold data out, "
                "or leave the callback out."
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the weights of the checkpoint, which has given the mean to the module."""
        self._weights = {name: p.data for name, p in pl_module.named_parameters()}
        if self.steps is not None:
            self._others = {name: weight.clone() for name, weight in self._weights.items()}
        if self._restored is not None:
            for name, weight in self._weights.items():
                weight.copy_(self._restored[name])
            self._restored = None
        self._lent = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the weights behind a step into the mean."""
        if self.steps is None:
            return
        self.steps += 1
        means, weights = list(self._others.values()), list(self._weights.values())
        share = 1 / max(1, self.steps - 1)
        if share == 1:
            torch._foreach_copy_(means, weights)
        else:
            torch._foreach_lerp_(means, weights, share)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lend the mean."""
        if trainer.state.fn == "fit" and self.steps:
            self._exchange()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the mean back."""
        self._measured = not trainer.sanity_checking
        if self._lent:
            self._exchange()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide whether to average from now on, if the epoch was validated.

        Raises:
            InputError: There is no loss of the name to be watched.
        """
        if self.steps is None and self._measured:
            if self.monitor not in trainer.callback_metrics:
                names = ", ".join(sorted(trainer.callback_metrics))
                raise InputError(f"AveragedWeights watches {self.monitor!r}; there are: {names}.")
            loss = float(trainer.callback_metrics[self.monitor])
            earlier = self.losses[: len(self.losses) - self.patience]
            if len(self.losses) > self.patience and loss > min(earlier):
                self.steps = 0
                self._others = {name: w.clone() for name, w in self._weights.items()}
            self.losses.append(loss)
        self._measured = False
        row = {"eval/step": trainer.global_step, "eval/epoch": trainer.current_epoch}
        log_row(trainer, row | {"eval/averaged_steps": self.steps or 0})

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the mean to the test."""
        if self.steps and not self._lent:
            self._exchange()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the mean into the place of the weights; `state_dict` has kept these."""
        if self.steps and not self._lent:
            checkpoint["state_dict"] |= {name: mean.clone() for name, mean in self._others.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the losses, the steps, and the weights if others have their place."""
        weights = self._others if self._lent else self._weights
        kept = {name: weight.clone() for name, weight in weights.items()} if self.steps else None
        return {"losses": list(self.losses), "steps": self.steps, "weights": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned; the weights find their place when the fit starts."""
        self.losses, self.steps = list(state_dict["losses"]), state_dict["steps"]
        self._restored = state_dict["weights"]

    def return_to(self, state_dict: dict[str, Any]) -> None:
        """Take steps and mean of a checkpoint whose mean the module has already."""
        self.steps = state_dict["steps"]
        weights = {} if self.steps is None else self._weights
        self._others = {name: weight.clone() for name, weight in weights.items()}

    def _exchange(self) -> None:
        """Let weights and mean change places, in memory that all others go on to use."""
        for name, weight in self._weights.items():
            before = weight.clone()
            weight.copy_(self._others[name])
            self._others[name].copy_(before)
        self._lent = not self._lent
