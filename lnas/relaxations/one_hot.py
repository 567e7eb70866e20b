"""OneHot: exactly one operation per edge runs, chosen at random.

`estimator="gdas"`: straight-through Gumbel softmax (Dong and Yang, "Searching for a Robust Neural
Architecture in Four GPU Hours", CVPR 2019, arXiv:1910.04465):
p = softmax((log_softmax(logits) + G) / temperature), h = one_hot(argmax p) - p.detach() + p.
Only the chosen operation is computed. Deviation: the released code also adds the gates of the
others to the output as bare numbers, of value 0, which gives them the sum of the output's gradient;
here, as in the paper's equations, an operation that did not run tells nothing about itself.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from lnas.errors import InputError
from lnas.relaxations.base import (
    GateSample,
    Relaxation,
    normal_logits,
    straight_through,
)
from lnas.relaxations.concrete import concrete_log_gates
from lnas.relaxations.draw import Draw
from lnas.relaxations.noise import gumbel, uniform
from lnas.relaxations.softmax import masked_softmax
from lnas.spaces.base import SearchSpace


@final
class OneHot(Relaxation):
    """Gates are a random one-hot row per edge; the gradient follows the estimator.

    Args:
        temperature: Tau > 0 of the softmax that gradients go through; GDAS: from 10 to 0.1.
        estimator: "gdas".

    Raises:
        InputError: The temperature is not positive, or the estimator is unknown.
    """

    annealable: ClassVar[tuple[str, ...]] = ("temperature",)
    opens_at_random = True
    temperature: Tensor

    def __init__(self, temperature: float = 10.0, estimator: Literal["gdas"] = "gdas") -> None:
        super().__init__()
        if temperature <= 0:
            raise InputError(f"temperature={temperature} must be above 0; GDAS starts at 10.")
        if estimator != "gdas":
            raise InputError(f"Unknown estimator {estimator!r}; choose 'gdas'.")
        self.estimator = estimator
        self.register_buffer("temperature", torch.tensor(float(temperature), dtype=torch.float64))

    def forward(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor], draw: Draw
    ) -> GateSample:
        """Return one-hot gates; only the chosen operations are active."""
        gates, active, log_probability = {}, {}, {}
        for name, values in logits.items():
            allowed = mask[name]
            noise = gumbel(uniform(values, draw.shared("one_hot", name))).to(values.dtype)
            soft = concrete_log_gates(values, noise, self.temperature, allowed).exp()
            chosen = torch.zeros_like(allowed).scatter_(1, soft.argmax(-1, keepdim=True), True)
            chosen &= allowed
            gates[name] = straight_through(chosen, soft)
            active[name] = chosen.cpu()
            probability = masked_softmax(values, allowed).masked_fill(~chosen, 1.0)
            log_probability[name] = probability.log().sum(-1)
        return GateSample(gates, active=active, log_probability=log_probability)

    def probabilities(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the probability that each operation is chosen: the softmax."""
        return {name: masked_softmax(values, mask[name]) for name, values in logits.items()}

    def initial_logits(self, space: SearchSpace, generator: torch.Generator) -> dict[str, Tensor]:
        """Return 1e-3 times standard normal numbers, (edges, ops) per cell type."""
        return normal_logits(space, generator, 1e-3)
