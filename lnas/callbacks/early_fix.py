"""EarlyFix: an edge is decided for good as soon as its best operation is far ahead (DSNAS).

Hu et al., "DSNAS", CVPR 2020, arXiv:2002.09128, equation 8: where the probabilities of the two best
operations of an edge differ by the threshold or more, the edge runs the best one from then on, and
its logits are no longer learnt. As released, this is looked at when an epoch begins. Deviation: the
released code stores the logits and restores them behind each step; here the architecture is fixed
(see `Architecture.fix`), which holds under every relaxation.
"""

from typing import final

import torch
from lightning.pytorch import LightningModule, Trainer

from lnas.errors import InputError
from lnas.search import SearchCallback, SearchModule
from lnas.supernet import Architecture

ROUNDING = 1e-6  # a difference of 0.6 and 0.3 in float32 reaches 0.3


@final
class EarlyFix(SearchCallback):
    """Fixes the edges that are decided, at the start of each epoch.

    Logs `search/fixed_edges`, their number over all cell types. What is fixed is in the buffers of
    the architecture; a resumed search goes on with it. All ranks have the same logits and fix the
    same.

    Args:
        threshold: Smallest difference of the two largest probabilities of an edge that decides it,
            in (0, 1]; 0.3 as released.

    Raises:
        InputError: The threshold is out of its range.
    """

    def __init__(self, threshold: float = 0.3) -> None:
        if not 0 < threshold <= 1:
            raise InputError(
                f"threshold={threshold} is no difference of probabilities that decides an edge; "
                "give a number in (0, 1], DSNAS takes 0.3."
            )
        self.threshold = threshold
        self._architecture: Architecture | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse gates that are no probabilities, and searches that leave the architecture."""
        assert isinstance(pl_module, SearchModule)
        self._architecture = architecture = pl_module.architecture
        if not pl_module.strategy.moves_architecture:
            raise InputError(
                f"EarlyFix waits for logits to part, and {type(pl_module.strategy).__name__} never "
                "moves them; leave the callback out, or use Joint or FirstOrder."
            )
        for name, table in architecture.probabilities().items():
            shares = table.sum(-1)[architecture.mask()[name].any(-1)]
            if not torch.allclose(shares, torch.ones_like(shares)):
                raise InputError(
                    "EarlyFix compares the probabilities of an edge's operations, and the gates of "
                    f"{type(architecture.relaxation).__name__} do not share an edge out; use "
                    "OneHot, Concrete or Softmax."
                )

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Fix before the first batch of an epoch: here a search resumed in its midst does not."""
        assert isinstance(pl_module, SearchModule)
        if batch_idx == 0:
            fix_decided(pl_module.architecture, self.threshold)

    def signals(self) -> dict[str, float]:
        """Return the number of fixed edges."""
        if self._architecture is None:
            return {}
        fixed = [buffer >= 0 for buffer in self._architecture.fixed.buffers()]
        return {"fixed_edges": float(torch.cat(fixed).sum())}


@torch.no_grad()
def fix_decided(architecture: Architecture, threshold: float) -> None:
    """Fix each edge whose best operation leads the second one by the threshold or more."""
    for name, table in architecture.probabilities().items():
        found = table.double().cpu()
        best = found.topk(min(2, found.shape[1]))
        lead = best.values[:, 0] - best.values[:, 1:].sum(-1)
        fixed = architecture.fixed.get_buffer(name).cpu() >= 0
        for row in (~fixed & (lead >= threshold - ROUNDING)).nonzero().flatten().tolist():
            architecture.fix(name, row, int(best.indices[row, 0]))
