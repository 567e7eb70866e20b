"""The architecture stream: read one batch at a time, only when an architecture step is taken."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from lnas.tasks import Batch

if TYPE_CHECKING:
    from lnas.search.module import SearchModule


class PositionedLoader(Protocol):
    """A loader of known length that can start at any batch of any pass."""

    def __len__(self) -> int:
        """Return the number of batches in a pass."""

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the rest of a pass."""

    def set_position(self, epoch: int, batch: int) -> None:
        """Let the next iterator start at `batch` of pass `epoch`."""


class ArchitectureStream:
    """Reads a loader pass after pass; each batch comes once a pass, in the loader's order.

    Args:
        loader: What is read.
        batches_read: Batches read before, by the run that is resumed.
    """

    def __init__(self, loader: PositionedLoader, batches_read: int = 0) -> None:
        self.loader = loader
        self.batches_read = batches_read
        self._iterator: Iterator[Batch] | None = None

    def next(self) -> Batch:
        """Return the next batch, on the host."""
        if self._iterator is None:
            self.loader.set_position(*divmod(self.batches_read, len(self.loader)))
            self._iterator = iter(self.loader)
        batch = next(self._iterator)
        self.batches_read += 1
        if self.batches_read % len(self.loader) == 0:
            self._iterator = None
        return batch


def to_device(module: "SearchModule", batch: Batch) -> Batch:
    """Return the batch on the device, through the hooks that the trainer's own batches go."""
    trainer = module.trainer
    batch = trainer.precision_plugin.convert_input(batch)
    batch = module._on_before_batch_transfer(batch, dataloader_idx=0)
    return trainer.strategy.batch_to_device(batch, dataloader_idx=0)
