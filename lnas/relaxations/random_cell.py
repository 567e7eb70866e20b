"""RandomCell: each pass runs a cell drawn uniformly from the space (random weight sharing).

Li and Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019,
arXiv:1902.07638, section 3.2: a supernet whose weights every random child shares. There is nothing
to learn about the architecture, so this goes with a strategy that leaves it alone (`WeightsOnly`);
the logits are there for the shape.
"""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from lnas.relaxations.base import GateSample, Relaxation
from lnas.relaxations.draw import Draw
from lnas.relaxations.softmax import masked_softmax
from lnas.spaces.base import SearchSpace
from lnas.spaces.random_scores import random_scores


@final
class RandomCell(Relaxation):
    """Gates are 1 on the operations of a random cell of the space, and 0 elsewhere."""

    def bind(self, space: SearchSpace) -> None:
        """Take the space that cells are drawn from."""
        self.space = space

    def forward(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor], draw: Draw
    ) -> GateSample:
        """Return the gates of one cell per cell type; only its operations are active."""
        cells = self.space.project(
            {name: random_scores(mask[name], draw.shared("cell", name)) for name in logits}
        )
        gates = {name: cells[name].to(values) for name, values in logits.items()}
        return GateSample(gates, active={name: cell > 0 for name, cell in cells.items()})

    def probabilities(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return equal shares of the allowed operations, (edges, ops) per cell type."""
        return {
            name: masked_softmax(torch.zeros_like(values), mask[name])
            for name, values in logits.items()
        }

    def initial_logits(self, space: SearchSpace, generator: torch.Generator) -> dict[str, Tensor]:
        """Return zeros, (edges, ops) per cell type."""
        shape = (len(space.edges), len(space.operations))
        return {name: torch.zeros(shape) for name in space.cell_types}
