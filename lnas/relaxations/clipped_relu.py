"""ClippedReLU: gates are the logits themselves, clipped to [0, 1] (CRB of DARTS-PRIME).

Maile et al., "DARTS-PRIME: Regularization and Scheduling Improve Constrained Optimization in
Differentiable NAS", arXiv:2106.11655, section S1.1. The space must not offer *none*: an operation
is pruned by its own gate. As released, the gradient passes at exactly 0 and stops at exactly 1.
"""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from lnas.errors import InputError
from lnas.relaxations.base import Deterministic, normal_logits
from lnas.spaces.base import SearchSpace


@final
class ClippedReLU(Deterministic):
    """Gates are min(max(logit, 0), 1) for each allowed operation."""

    needs_node_norm: ClassVar[bool] = True
    closes: ClassVar[bool] = True

    def probabilities(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the clipped logits, (edges, ops) per cell type."""
        return {name: clip(values).masked_fill(~mask[name], 0.0) for name, values in logits.items()}

    def initial_logits(self, space: SearchSpace, generator: torch.Generator) -> dict[str, Tensor]:
        """Return 1 / ops + 1e-4 times standard normal numbers, (edges, ops) per cell type.

        Raises:
            InputError: The space offers *none*.
        """
        if "none" in space.operations:
            others = [name for name in space.operations if name != "none"]
            raise InputError(
                "ClippedReLU needs a space without 'none', which would be an operation that prunes "
                f"by opening; give the space operations={others}."
            )
        noise = normal_logits(space, generator, 1e-4)
        return {name: values + 1 / values.shape[-1] for name, values in noise.items()}


def clip(logits: Tensor) -> Tensor:
    """Return min(max(logits, 0), 1), any shape, with derivative 1 in [0, 1), else 0.

    `torch.clamp` is not used: its derivative at the ends differs between releases of torch.
    """
    inside = (logits >= 0) & (logits < 1)
    return torch.where(inside, logits, logits.detach().clamp(0.0, 1.0))
