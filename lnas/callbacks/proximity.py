"""Proximity: pull the gates towards the architecture they would derive to.

Equation 8 of Maile et al., "DARTS-PRIME", arXiv:2106.11655, as released: the Frobenius norm is not
squared and is summed over cell types. `squared=True` gives the usual proximal form.
"""

from typing import final

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lnas.callbacks.requirements import require_soft_gates
from lnas.derivation import magnitudes
from lnas.schedules import Linear, Schedule
from lnas.search import SearchCallback, SearchModule, SearchStep


@final
class Proximity(SearchCallback):
    """Half the weighted distance between the gates and their projection onto the space's set.

    Args:
        weight: Factor lambda of the penalty at the end of the ramp; 0.1 for images in the paper.
        ramp: Schedule of search progress that scales the weight; linear from 0 to 1 by default.
        squared: Square the Frobenius norm.
    """

    def __init__(
        self, weight: float = 0.1, ramp: Schedule | None = None, squared: bool = False
    ) -> None:
        self.weight, self.squared = weight, squared
        self.ramp = Linear(0.0, 1.0) if ramp is None else ramp

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse gates that are discrete already."""
        assert isinstance(pl_module, SearchModule)
        require_soft_gates(self, pl_module)

    def architecture_loss(self, module: SearchModule, step: SearchStep) -> Tensor:
        """Return the penalty, a scalar that is zero exactly when all gates are one-hot."""
        gates = module.architecture.probabilities()
        nearest = module.space.project(magnitudes(module.architecture))
        distances = [
            torch.linalg.vector_norm(values - nearest[name].to(values))
            for name, values in gates.items()
        ]
        total = torch.stack(distances).square() if self.squared else torch.stack(distances)
        return self.ramp(step.progress) * self.weight / 2 * total.sum()
