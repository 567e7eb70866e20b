"""Concrete: differentiable samples of one operation per edge (SNAS).

Equation 5 of Xie, Zheng, Liu and Lin, "SNAS: Stochastic Neural Architecture Search", ICLR 2019,
arXiv:1812.09926: Z = softmax((log alpha + G) / temperature) with Gumbel noise G. The logits are
log alpha and start at N(1, 0.01), as released. One sample serves all cells of a type, as released;
`per_cell` draws one for each cell.
"""

import math
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from lnas.errors import InputError
from lnas.relaxations.base import GateSample, Relaxation, normal_logits
from lnas.relaxations.draw import Draw
from lnas.relaxations.noise import gumbel, uniform
from lnas.relaxations.softmax import masked_softmax
from lnas.spaces.base import SearchSpace


@final
class Concrete(Relaxation):
    """Gates are samples of the concrete distribution over the allowed operations of each edge.

    Args:
        temperature: Lambda > 0; the samples become one-hot as it goes to 0.
        per_cell: Draw a sample for every cell instead of one for every cell type.

    Raises:
        InputError: The temperature is not positive.
    """

    annealable = ("temperature",)
    opens_at_random = True
    temperature: Tensor

    def __init__(self, temperature: float = 1.0, per_cell: bool = False) -> None:
        super().__init__()
        if temperature <= 0:
            raise InputError(f"temperature={temperature} must be above 0; SNAS starts at 1.")
        self.per_cell = per_cell
        self.register_buffer("temperature", torch.tensor(float(temperature), dtype=torch.float64))

    def forward(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor], draw: Draw
    ) -> GateSample:
        """Return a sample per cell type; its log-density takes the gates as constants."""
        gates, density = {}, {}
        for name, values in logits.items():
            cells = draw.cells[name] if self.per_cell else None
            noise = gumbel(uniform(values, draw.shared("concrete", name), cells)).to(values.dtype)
            log_gates = concrete_log_gates(values, noise, self.temperature, mask[name])
            gates[name] = log_gates.exp()
            density[name] = concrete_log_density(
                values, log_gates.detach(), self.temperature, mask[name]
            )
        return GateSample(gates, log_probability=density)

    def probabilities(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the probability of each operation: the softmax, whatever the temperature."""
        return {name: masked_softmax(values, mask[name]) for name, values in logits.items()}

    def initial_logits(self, space: SearchSpace, generator: torch.Generator) -> dict[str, Tensor]:
        """Return numbers of N(1, 0.01), (edges, ops) per cell type."""
        return {name: 1 + noise for name, noise in normal_logits(space, generator, 0.01).items()}


def concrete_log_gates(logits: Tensor, noise: Tensor, temperature: Tensor, mask: Tensor) -> Tensor:
    """Return ln Z (equation 5); -inf where the mask is False.

    Args:
        logits: log alpha, (edges, ops).
        noise: Gumbel numbers, (edges, ops) or (cells, edges, ops).
        temperature: Lambda, scalar.
        mask: Allowed entries, bool (edges, ops).
    """
    scores = (logits + noise) / temperature.to(logits.dtype)
    shut = ~mask & mask.any(-1, keepdim=True)
    return scores.masked_fill(shut, -torch.inf).log_softmax(-1).masked_fill(~mask, -torch.inf)


def concrete_log_density(
    logits: Tensor, log_gates: Tensor, temperature: Tensor, mask: Tensor
) -> Tensor:
    """Return ln p(Z), in nats, (edges,) or (cells, edges).

    Maddison, Mnih and Teh, "The Concrete Distribution", ICLR 2017, equation 10, in logarithms:
    with n allowed operations,
    ln (n-1)! + (n-1) ln T + sum_k (log alpha_k - (T+1) ln Z_k) - n ln sum_k alpha_k Z_k^-T.
    """
    temperature = temperature.to(logits.dtype)
    count = mask.sum(-1).to(logits.dtype)
    safe = log_gates.masked_fill(~mask, 0.0)
    each = (logits - (temperature + 1) * safe).masked_fill(~mask, 0.0).sum(-1)
    total = (logits - temperature * safe).masked_fill(~mask, -torch.inf)
    total = total.masked_fill(~mask.any(-1, keepdim=True), 0.0).logsumexp(-1)
    constant = torch.lgamma(count.clamp(min=1)) + (count - 1) * temperature.log()
    return torch.where(count > 0, constant + each - count * total, math.nan).nan_to_num(0.0)
