"""PathDepth: reward cells whose neighbouring nodes are joined by parameterised operations.

The path-depth term of Zhou et al., "Theory-Inspired Path-Regularized Differential Network
Architecture Search", NeurIPS 2020, arXiv:2006.16537, section 4: the product over neighbouring nodes
of the activation probability of parameterised operations between them, subtracted from the
architecture loss, averaged here over the cell types. The probability of an edge is the sum over its
parameterised operations as remembered from the paper (`reduce="sum"`), or their mean as released
(`reduce="mean"`, the default: it is a probability). `sampled=True` is the released form on the
operations that the sample ran, with edges that ran none left out of the product.
"""

from typing import Literal, final

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lnas.callbacks.requirements import require_openings
from lnas.errors import InputError
from lnas.schedules import Constant, Schedule
from lnas.search import SearchCallback, SearchModule, SearchStep
from lnas.waiting import selected, sent

WITHOUT_PARAMETERS = {"none", "skip_connect", "avg_pool_3x3", "max_pool_3x3", "noise"}


@final
class PathDepth(SearchCallback):
    """Minus the weighted probability that the longest path consists of parameterised operations.

    Args:
        weight: Factor lambda_3 of the reward; 0.005 as released.
        operations: Parameterised operations; None: all but none, skip, pools and noise.
        reduce: How the operations of an edge are combined, "mean" or "sum".
        sampled: Look only at the operations that the sample ran.
        ramp: Schedule of search progress that scales the weight; 1 throughout by default.

    Raises:
        InputError: The space offers none of the operations, or the gates do not open by chance.
    """

    def __init__(
        self,
        weight: float = 0.005,
        operations: list[str] | None = None,
        reduce: Literal["mean", "sum"] = "mean",
        sampled: bool = False,
        ramp: Schedule | None = None,
    ) -> None:
        self.weight, self.operations, self.sampled = weight, operations, sampled
        self.reduce: Literal["mean", "sum"] = reduce
        self.ramp = Constant(1.0) if ramp is None else ramp
        self.rows: list[int] = []
        self.columns: list[int] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the edges between neighbouring nodes and the parameterised operations."""
        assert isinstance(pl_module, SearchModule)
        require_openings(self, pl_module, self.sampled)
        space = pl_module.space
        self.rows = [row for row, edge in enumerate(space.edges) if edge.source == edge.target - 1]
        wanted = self.operations or [o for o in space.operations if o not in WITHOUT_PARAMETERS]
        self.columns = [i for i, name in enumerate(space.operations) if name in wanted]
        if not self.columns:
            raise InputError(
                f"PathDepth finds none of {wanted} in the space, which offers "
                f"{list(space.operations)}; name its parameterised operations."
            )

    def architecture_loss(self, module: SearchModule, step: SearchStep) -> Tensor:
        """Return minus the weight times the mean over cell types of the path's probability."""
        opened = module.architecture.probabilities()
        active = step.sample.active if self.sampled and step.sample is not None else None
        paths = [
            path_probability(
                self._on_path(values),
                None if active is None else self._on_path(active[name]),
                self.reduce,
            )
            for name, values in opened.items()
        ]
        return -self.ramp(step.progress) * self.weight * torch.stack(paths).mean()

    def _on_path(self, table: Tensor) -> Tensor:
        """Return the parameterised operations on the path's edges of (edges, ops)."""
        return selected(selected(table, 0, self.rows), 1, self.columns)


def path_probability(
    opened: Tensor, active: Tensor | None, reduce: Literal["mean", "sum"]
) -> Tensor:
    """Return the product over edges of the combined activation probability, scalar.

    Args:
        opened: P(gate != 0) of the parameterised operations on the path's edges, (edges, ops).
        active: Which of them the sample ran, bool (edges, ops); None: look at all. Edges without
            any are left out of the product, and without any edge the path has probability 0.
        reduce: "mean" or "sum" over the operations of an edge.
    """
    if active is None:
        return (opened.mean(-1) if reduce == "mean" else opened.sum(-1)).prod()
    ran = sent(active, opened.device).to(opened.dtype)
    count = ran.sum(-1)
    total = (opened * ran).sum(-1)
    each = total / count.clamp(min=1) if reduce == "mean" else total
    joined = count > 0
    return torch.where(joined, each, torch.ones_like(each)).prod() * joined.any()
