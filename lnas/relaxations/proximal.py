"""Proximal: discrete gates, whose gradient moves continuous logits (NASP).

Yao, Xu, Tu and Zhu, "Efficient Neural Architecture Search via Proximal Iterations", AAAI 2020,
arXiv:1905.13577, as released. The gates are the projection of the logits onto the space's discrete
cells, which is the proximal step; the gradient of the gates goes to the logits as it is; the logits
start at 0.5 and are clipped to [0, 1] after each step. A pass without gradients computes only the
operations of the discrete cell; one with gradients must compute all of them, since the gate of an
operation that did not run learns nothing.

Deviation: the projection is the space's own rule, in which *none* never wins under the rule of
DARTS; the released step takes it for an operation like the others.
"""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from lnas.relaxations.base import GateSample, Relaxation, straight_through
from lnas.relaxations.draw import Draw
from lnas.relaxations.softmax import masked_softmax
from lnas.spaces.base import SearchSpace
from lnas.waiting import on_host, sent


@final
class Proximal(Relaxation):
    """Gates are 1 where the space derives an operation from the logits, and 0 elsewhere."""

    def bind(self, space: SearchSpace) -> None:
        """Take the space, whose projection this is."""
        self.space = space

    def forward(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor], draw: Draw
    ) -> GateSample:
        """Return the discrete gates; `draw` is not used."""
        chosen = self._chosen(logits, mask)
        hard = {name: sent(table, logits[name].device) for name, table in chosen.items()}
        if not torch.is_grad_enabled():
            return GateSample(hard, active={name: table > 0 for name, table in chosen.items()})
        return GateSample(
            {
                name: straight_through(hard[name], values.masked_fill(~mask[name], 0.0))
                for name, values in logits.items()
            }
        )

    def probabilities(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the discrete gates, (edges, ops) per cell type, which have no gradient."""
        chosen = self._chosen(logits, mask)
        return {name: sent(table, logits[name].device) for name, table in chosen.items()}

    def magnitudes(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the softmax of the logits over each edge, by which NASP derives."""
        return {name: masked_softmax(values, mask[name]) for name, values in logits.items()}

    def initial_logits(self, space: SearchSpace, generator: torch.Generator) -> dict[str, Tensor]:
        """Return 0.5 everywhere, (edges, ops) per cell type."""
        shape = (len(space.edges), len(space.operations))
        return {name: torch.full(shape, 0.5) for name in space.cell_types}

    @torch.no_grad()
    def constrain(self, logits: Mapping[str, Tensor]) -> None:
        """Clip the logits to [0, 1]."""
        for values in logits.values():
            values.clamp_(0.0, 1.0)

    def _chosen(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the discrete gates in host memory, where the space's rule is applied."""
        scores = {
            name: values.detach().masked_fill(~mask[name], -torch.inf)
            for name, values in logits.items()
        }
        return self.space.project(on_host(scores))
