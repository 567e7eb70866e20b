"""HessianEigenvalue: the curvature of the architecture's loss, which foretells bad cells.

Section 4 of Zela et al., "Understanding and Robustifying Differentiable Architecture Search", ICLR
2020, arXiv:1909.09656: the largest eigenvalue of the Hessian of the architecture stream's loss with
respect to the logits, weight decay included, as released every second epoch and behind the last.
Deviation: the batches are the first ones of the epoch's pass over the stream, by a reader of their
own, and not a random one; the stream's position and everything else stay as they are.
"""

from itertools import islice
from typing import Any, final

from lightning.pytorch import LightningModule, Trainer

from lnas.errors import InputError
from lnas.loggers import log_row
from lnas.search import SearchCallback, SearchModule
from lnas.search.checks import architecture_stream, epochs
from lnas.search.hessian import architecture_hessian
from lnas.search.lanczos import largest_eigenvalue
from lnas.search.streams import to_device
from lnas.seeds import generator


@final
class HessianEigenvalue(SearchCallback):
    """Logs `search/hessian_eigenvalue` (nats) behind every so many epochs and the last one.

    A measurement takes a few dozen passes through the supernet's reference path.

    Args:
        every: Epochs between measurements.
        batches: Batches that the loss is a mean of.
        tolerance: Relative error of the eigenvalue.

    Attributes:
        history: Epoch and value of each measurement.

    Raises:
        InputError: A number is not positive, or there is no architecture stream.
    """

    def __init__(self, every: int = 2, batches: int = 1, tolerance: float = 1e-3) -> None:
        if every < 1 or batches < 1 or not tolerance > 0:
            raise InputError(
                f"HessianEigenvalue(every={every}, batches={batches}, tolerance={tolerance}) needs "
                "numbers above 0; RobustDARTS measures every 2 epochs on 1 batch."
            )
        self.every, self.batches, self.tolerance = every, batches, tolerance
        self.history: list[tuple[int, float]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a search without an architecture stream."""
        assert isinstance(pl_module, SearchModule)
        if not pl_module.strategy.reads_architecture_stream:
            raise InputError(
                "HessianEigenvalue measures on the architecture stream, which "
                f"{type(pl_module.strategy).__name__} does not have; use FirstOrder or SecondOrder."
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, if it is time."""
        assert isinstance(pl_module, SearchModule)
        epoch = trainer.current_epoch
        if epoch % self.every and epoch + 1 < epochs(pl_module):
            return
        value = self.measure(pl_module, epoch)
        self.history.append((epoch, value))
        place = {"search/step": pl_module.steps, "search/epoch": epoch}
        log_row(trainer, place | {"search/hessian_eigenvalue": value})

    def measure(self, module: SearchModule, epoch: int) -> float:
        """Return the eigenvalue on the first batches of pass `epoch`; every rank must call."""
        stream = architecture_stream(module)
        assert stream is not None
        stream.loader.set_position(epoch, 0)
        batches = [to_device(module, batch) for batch in islice(stream.loader, self.batches)]
        logits = sum(parameter.numel() for parameter in module.architecture_parameters())
        return largest_eigenvalue(
            architecture_hessian(module, batches),
            logits,
            generator(module.seed, "hessian", epoch),
            self.tolerance,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the measurements."""
        return {"history": list(self.history)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        self.history = [(int(epoch), float(value)) for epoch, value in state_dict["history"]]
