"""PruneClosed: an operation whose gate has fallen to 0 is closed for good and no longer computed.

The progressive pruning of Maile et al., "DARTS-PRIME", arXiv:2106.11655, section S1.1, with clipped
gates: behind each weight step, what is at or below 0 is masked, its logit set to 0, and skipped
from the next pass on. Deviation from the released code: there the mask is applied behind weight
steps only; here closed logits stay at 0 behind architecture steps as well, whatever momentum and
weight decay do (see `Architecture`).
"""

from typing import Any, final

import torch
from lightning.pytorch import LightningModule, Trainer

from lnas.callbacks.requirements import require_closing
from lnas.search import SearchCallback, SearchModule
from lnas.supernet import Architecture


@final
class PruneClosed(SearchCallback):
    """Closes operations whose noise-free gate is not above 0, at the end of each batch.

    Logs `search/open_operations`, the number of (edge, operation) pairs over all cell types that
    are open. What is closed is in the buffers of the architecture; a resumed search goes on with
    it. All ranks have the same logits and close the same.
    """

    def __init__(self) -> None:
        self._architecture: Architecture | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remember whose operations are counted.

        Raises:
            InputError: The gates of the relaxation do not close.
        """
        assert isinstance(pl_module, SearchModule)
        require_closing(self, pl_module)
        self._architecture = pl_module.architecture

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Close; Lightning calls what writes checkpoints behind this."""
        assert isinstance(pl_module, SearchModule)
        architecture = pl_module.architecture
        gates = architecture.probabilities()
        architecture.close_all({name: values <= 0 for name, values in gates.items()})

    def signals(self) -> dict[str, float]:
        """Return the number of open operations."""
        if self._architecture is None:
            return {}
        masks = self._architecture.host_masks().values()
        return {"open_operations": float(sum(int(mask.sum()) for mask in masks))}
