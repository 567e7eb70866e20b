"""Sigmoid: independent gates without competition (FairDARTS).

Chu et al., "Fair DARTS: Eliminating Unfair Advantages in Differentiable Architecture Search",
ECCV 2020, arXiv:1911.12126.
"""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from lnas.relaxations.base import Deterministic, normal_logits
from lnas.spaces.base import SearchSpace


@final
class Sigmoid(Deterministic):
    """Gates are the logistic function of each allowed operation's logit."""

    def probabilities(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the gates, (edges, ops) per cell type."""
        return {
            name: torch.sigmoid(values).masked_fill(~mask[name], 0.0)
            for name, values in logits.items()
        }

    def initial_logits(self, space: SearchSpace, generator: torch.Generator) -> dict[str, Tensor]:
        """Return 1e-3 times standard normal numbers, (edges, ops) per cell type."""
        return normal_logits(space, generator, 1e-3)
