"""Uniform: all operations of an edge have the same weight, and nothing is learned.

The supernet of "DARTS-PT with fixed alpha" (Wang et al., ICLR 2021, arXiv:2108.04392, section 7):
when strength selects, the gates need not have an opinion.
"""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from lnas.relaxations.base import Deterministic
from lnas.spaces.base import SearchSpace


@final
class Uniform(Deterministic):
    """Gates 1 / (open operations of the edge); the logits stay at 0."""

    def probabilities(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the equal gates, (edges, ops) per cell type."""
        return {
            name: open_.to(logits[name].dtype) / open_.sum(-1, keepdim=True).clamp(min=1)
            for name, open_ in mask.items()
        }

    def initial_logits(self, space: SearchSpace, generator: torch.Generator) -> dict[str, Tensor]:
        """Return zeros, (edges, ops) per cell type."""
        shape = (len(space.edges), len(space.operations))
        return {name: torch.zeros(shape) for name in space.cell_types}
