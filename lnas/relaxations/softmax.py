"""Softmax: the continuous relaxation of DARTS.

Equation 2 of Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", ICLR 2019,
arXiv:1806.09055. The logits start at 1e-3 times a standard normal, as released; the paper says 0.
"""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from lnas.relaxations.base import Deterministic, normal_logits
from lnas.spaces.base import SearchSpace


@final
class Softmax(Deterministic):
    """Gates are the softmax of the logits over the allowed operations of each edge."""

    def probabilities(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the softmax gates, (edges, ops) per cell type."""
        return {name: masked_softmax(values, mask[name]) for name, values in logits.items()}

    def initial_logits(self, space: SearchSpace, generator: torch.Generator) -> dict[str, Tensor]:
        """Return 1e-3 times standard normal numbers, (edges, ops) per cell type."""
        return normal_logits(space, generator, 1e-3)


def masked_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the softmax over the last axis among the entries where `mask` is True.

    The others are exactly 0 and get gradient exactly 0; a row without any True is all 0.

    Args:
        logits: Any shape.
        mask: Bool, broadcastable to the logits.
    """
    # A row of nothing but -inf would be NaN, so rows without a candidate keep their numbers here.
    shut = ~mask & mask.any(-1, keepdim=True)
    return logits.masked_fill(shut, -torch.inf).softmax(-1).masked_fill(~mask, 0.0)
