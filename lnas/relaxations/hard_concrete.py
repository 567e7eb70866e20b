"""HardConcrete: independent stochastic gates that can be exactly 0 (PR-DARTS).

Zhou, Xiong, Socher and Hoi, "Theory-Inspired Path-Regularized Differential Network Architecture
Search", NeurIPS 2020, arXiv:2006.16537, with the hard concrete distribution of Louizos, Welling and
Kingma, ICLR 2018:

    s = sigmoid((beta + ln u - ln(1 - u)) / temperature),  g = clip(a + (b - a) s, 0, 1),
    P(g != 0) = sigmoid(beta - temperature ln(-a / b)).

`sampler="top2"` is what the released search does instead of using g itself: drop operations at
random, run the two with the largest gates on each edge (ties broken at random) at weight exactly
1, pass g's gradient straight through, and do not compute the others. `clip=False` uses s (the
ablation "independent gates without hard clip").
"""

import math
from collections.abc import Mapping
from typing import Literal, final

import torch
from torch import Tensor

from lnas.errors import InputError
from lnas.relaxations.base import (
    GateSample,
    Relaxation,
    normal_logits,
    straight_through,
)
from lnas.relaxations.draw import Draw
from lnas.relaxations.noise import logistic, uniform
from lnas.relaxations.softmax import masked_softmax
from lnas.spaces.base import SearchSpace
from lnas.waiting import on_host, sent


@final
class HardConcrete(Relaxation):
    """Gates are independent hard concrete numbers in [0, 1], one for each allowed operation.

    Args:
        temperature: Tau > 0; the released search anneals it from 1 to 0.1.
        low: Lower end a < 0 of the stretch.
        high: Upper end b > 1 of the stretch.
        clip: Stretch and clip; False keeps the plain sigmoid s in (0, 1).
        sampler: "gates" uses g; "top2" runs exactly two operations per edge at weight 1.
        operation_dropout: Probability that "top2" passes over an operation; 0.4 in the release.

    Raises:
        InputError: A value is out of its range.
    """

    annealable = ("temperature",)
    temperature: Tensor

    def __init__(
        self,
        temperature: float = 1.0,
        low: float = -0.1,
        high: float = 1.1,
        clip: bool = True,
        sampler: Literal["gates", "top2"] = "gates",
        operation_dropout: float = 0.4,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise InputError(f"temperature={temperature} must be above 0; PR-DARTS starts at 1.")
        if not low < 0 < 1 < high:
            raise InputError(f"low={low}, high={high} must satisfy low < 0 < 1 < high.")
        if not 0 <= operation_dropout < 1:
            raise InputError(f"operation_dropout={operation_dropout} must lie in [0, 1).")
        self.low, self.high, self.clip = low, high, clip
        self.sampler, self.operation_dropout = sampler, operation_dropout
        self.opens_at_random = clip  # without the clip no gate is ever 0
        self.register_buffer("temperature", torch.tensor(float(temperature), dtype=torch.float64))

    def forward(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor], draw: Draw
    ) -> GateSample:
        """Return gates in [0, 1]; "top2" also says which operations were not sampled."""
        gates, active = {}, {}
        for name, values in logits.items():
            noise = logistic(uniform(values, draw.shared("hard_concrete", name))).to(values.dtype)
            value = self.gate(values, noise).masked_fill(~mask[name], 0.0)
            if self.sampler == "top2":
                chosen = self._two(value.detach(), mask[name], draw, name)
                value = straight_through(chosen, value)
                active[name] = chosen
            gates[name] = value
        return GateSample(gates, on_host(active) or None)

    def gate(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Return g for logistic noise ln u - ln(1 - u), both (edges, ops)."""
        smooth = torch.sigmoid((logits + noise) / self.temperature.to(logits.dtype))
        if not self.clip:
            return smooth
        return (self.low + (self.high - self.low) * smooth).clamp(0.0, 1.0)

    def probability_open(self, logits: Tensor) -> Tensor:
        """Return P(g != 0), any shape; without the clip, where a gate is never 0, P(s > 1/2)."""
        if not self.clip:
            return torch.sigmoid(logits)
        return torch.sigmoid(logits - self.temperature * math.log(-self.low / self.high))

    def probability_one(self, logits: Tensor) -> Tensor:
        """Return P(g = 1), any shape: sigmoid(beta - temperature ln((1 - a) / (b - 1)))."""
        return torch.sigmoid(logits - self.temperature * math.log((1 - self.low) / (self.high - 1)))

    def probabilities(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return P(g != 0), (edges, ops) per cell type."""
        return {
            name: self.probability_open(values).masked_fill(~mask[name], 0.0)
            for name, values in logits.items()
        }

    def magnitudes(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the softmax of the logits over each edge, by which PR-DARTS derives."""
        return {name: masked_softmax(values, mask[name]) for name, values in logits.items()}

    def initial_logits(self, space: SearchSpace, generator: torch.Generator) -> dict[str, Tensor]:
        """Return 1e-3 times standard normal numbers, (edges, ops) per cell type."""
        return normal_logits(space, generator, 1e-3)

    def _two(self, gate: Tensor, mask: Tensor, draw: Draw, name: str) -> Tensor:
        """Return which (at most two) operations of each edge run, bool (edges, ops)."""
        dropped = uniform(gate, draw.shared("dropout", name)) < self.operation_dropout
        order = torch.randperm(gate.shape[-1], generator=draw.shared("ties", name))
        return top_two(gate, dropped, sent(order, gate.device), mask)


def top_two(gate: Tensor, dropped: Tensor, order: Tensor, mask: Tensor) -> Tensor:
    """Return the two largest of gate - dropped on each edge, bool (edges, ops).

    Args:
        gate: Values in [0, 1], (edges, ops).
        dropped: Operations passed over, bool (edges, ops).
        order: One permutation of the operations, shared by all edges: of equals the first wins.
        mask: Allowed entries, bool (edges, ops).
    """
    score = (gate - dropped.to(gate.dtype)).masked_fill(~mask, -torch.inf)[:, order]
    ranked = score.sort(dim=-1, descending=True, stable=True).indices[:, :2]
    chosen = torch.zeros_like(mask).scatter_(1, order[ranked], True)
    return chosen & mask
