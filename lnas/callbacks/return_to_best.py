"""ReturnToBest: a training that has run away goes on from its best epoch.

The released recurrent DARTS (Liu et al., ICLR 2019, arXiv:1806.09055, section 3.3) trains at rates
at which a step can leave numbers that are none; it then loads the best checkpoint and goes on.
Deviations: it does so after any exception, here after such numbers alone; it goes back to the epoch
of the checkpoint as well, here the epochs go on. Where weights are averaged, the best are a mean,
which is averaged further.
"""

from pathlib import Path
from typing import Any, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console

from lnas.callbacks.averaged_weights import AveragedWeights
from lnas.callbacks.checkpoints import Checkpoints
from lnas.errors import InputError
from lnas.evaluation import EvaluationModule
from lnas.loggers import log_row
from lnas.search.trainer import callbacks_of


@final
class ReturnToBest(Callback):
    """Brings weights and optimizer of the best epoch back when a loss or a weight is not finite.

    The batch is left out and the texts start anew. Logs `eval/returns`, how often that was so. It
    needs the `Checkpoints` that keep the best epoch, and does nothing before there is one.

    Args:
        most: How often; then such a loss ends the training as it does without this callback.

    Raises:
        InputError: `most` is below 1.
    """

    def __init__(self, most: int = 10) -> None:
        if most < 1:
            raise InputError(f"most={most} returns nowhere; give 1 or more, or no ReturnToBest.")
        self.most, self.returns = most, 0
        self._trainer: Trainer | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Offer help to the module.

        Raises:
            InputError: No best epoch is kept.
        """
        assert isinstance(pl_module, EvaluationModule)
        if stage == "fit" and self._best(trainer) is None:
            raise InputError(
                "ReturnToBest has no best epoch to return to; hold data out and let the training "
                "keep its best checkpoint, or leave ReturnToBest out."
            )
        self._trainer = trainer
        pl_module.rescue = self.rescue

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the weights before they are measured or kept."""
        assert isinstance(pl_module, EvaluationModule)
        finite = [torch.isfinite(weight).all() for weight in pl_module.network.parameters()]
        if not torch.stack(finite).all() and self.rescue():
            pl_module.forget()

    def rescue(self) -> bool:
        """Go back if there is where to go; every rank decides the same."""
        trainer = self._trainer
        assert trainer is not None
        best = self._best(trainer)
        path = Path(best.best_model_path) if best is not None and best.best_model_path else None
        if path is None or not path.is_file() or self.returns >= self.most:
            return False
        self.returns += 1
        kept = torch.load(path, map_location="cpu", weights_only=True)
        network: Any = trainer.lightning_module.network
        prefix = "network."
        weights = {n: v for n, v in kept["state_dict"].items() if n.startswith(prefix)}
        network.load_state_dict({n.removeprefix(prefix): v for n, v in weights.items()})
        trainer.strategy.load_optimizer_state_dict(kept)
        for callback in callbacks_of(trainer):
            if isinstance(callback, AveragedWeights):
                callback.return_to(kept["callbacks"][callback.state_key])
        if trainer.is_global_zero:
            Console().print(
                f"Not finite in epoch {trainer.current_epoch}: back to the best epoch, "
                f"{kept['epoch']}.",
                soft_wrap=True,
            )
        return True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log how often."""
        row = {"eval/step": trainer.global_step, "eval/epoch": trainer.current_epoch}
        log_row(trainer, row | {"eval/returns": self.returns})

    def state_dict(self) -> dict[str, Any]:
        """Return how often."""
        return {"returns": self.returns}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        self.returns = int(state_dict["returns"])

    def _best(self, trainer: Trainer) -> Checkpoints | None:
        found = (one for one in callbacks_of(trainer) if isinstance(one, Checkpoints))
        return next((one for one in found if one.monitor is not None), None)
