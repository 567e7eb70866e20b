"""OneHot: one operation of each edge runs, drawn by its probability, and the logits are told why.

The operation s is drawn with probability p = softmax(logits); its gate is exactly 1 and all others
are 0. The estimator says what the gradient G = d loss / d gates of an edge does to its logits:

- `gdas`: straight-through Gumbel softmax (Dong and Yang, "Searching for a Robust Neural
  Architecture in Four GPU Hours", CVPR 2019, arXiv:1910.04465): the gradient of
  softmax((log p + Gumbel noise) / temperature), with the noise that has drawn s.
- `dsnas`: the policy gradient with the chosen operation's own cost as the edge's reward
  (Hu et al., "DSNAS: Direct Neural Architecture Search without Parameter Retraining", CVPR 2020,
  arXiv:2002.09128): (one_hot(s) - p) R with R = G_s, of the same backward as the weights'. Unbiased
  for a loss that is linear in the gates. The logits start at N(1, 0.01), as released.
- `proxyless`: two paths (Cai, Zhu and Han, "ProxylessNAS", ICLR 2019, arXiv:1812.00332, section
  3.2): two operations are drawn, one runs by their renormalised probabilities q, and the other
  beside it at gate 0, so that both tell: logit i gets sum_j G_j q_j (delta_ij - q_i) over the two,
  the others nothing. In the pass "weights" a single operation is drawn by p, and nothing is told.

Deviations: released GDAS adds the gates of the others to the output as bare numbers of value 0,
which gives them the sum of the output's gradient; here an operation that did not run tells nothing
about itself. Released ProxylessNAS moves the two logits by one number more behind the optimizer's
step, so that the probabilities of the others stand still; here they move a little.
"""

from collections.abc import Mapping
from typing import Literal, final, get_args

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
from lnas.waiting import on_host

Estimator = Literal["gdas", "dsnas", "proxyless"]


@final
class OneHot(Relaxation):
    """Gates are a random one-hot row per edge; the gradient follows the estimator.

    Args:
        temperature: Tau > 0 of the softmax that gradients of "gdas" go through, from 10 to 0.1;
            the others have none.
        estimator: "gdas", "dsnas" or "proxyless".
        reward_limit: Largest size of the reward of "dsnas", on each rank by itself; 5 in the
            released search on CIFAR-10. None: any.

    Raises:
        InputError: A number is not positive, the estimator is unknown, or has no reward to limit.
    """

    temperature: Tensor
    opens_at_random = True

    def __init__(
        self,
        temperature: float = 10.0,
        estimator: Estimator = "gdas",
        reward_limit: float | None = None,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise InputError(f"temperature={temperature} must be above 0; GDAS starts at 10.")
        if estimator not in get_args(Estimator):
            raise InputError(
                f"Unknown estimator {estimator!r}; choose one of {', '.join(get_args(Estimator))}."
            )
        if reward_limit is not None and not (estimator == "dsnas" and reward_limit > 0):
            raise InputError(
                f"reward_limit={reward_limit} with estimator={estimator!r}: rewards are those of "
                "'dsnas', and a limit is above 0; leave it out."
            )
        self.estimator, self.reward_limit = estimator, reward_limit
        if estimator == "gdas":
            self.annealable = ("temperature",)
            value = torch.tensor(float(temperature), dtype=torch.float64)
            self.register_buffer("temperature", value)

    def forward(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor], draw: Draw
    ) -> GateSample:
        """Return one-hot gates; only what runs is active."""
        pairs = self.estimator == "proxyless" and draw.purpose != "weights"
        gates, active, log_probability = {}, {}, {}
        for name, values in logits.items():
            allowed = mask[name]
            noise = gumbel(uniform(values, draw.shared("one_hot", name))).to(values.dtype)
            runs = strongest(values + noise, allowed, count=2 if pairs else 1)
            active[name] = runs
            if pairs:
                coin = gumbel(uniform(values, draw.shared("path", name))).to(values.dtype)
                chosen = strongest(values + coin, runs)
                gates[name] = straight_through(chosen, masked_softmax(values, runs))
                continue
            probability = masked_softmax(values, allowed).masked_fill(~runs, 1.0)
            log_probability[name] = probability.log().sum(-1)
            if self.estimator == "gdas":
                soft = concrete_log_gates(values, noise, self.temperature, allowed).exp()
                gates[name] = straight_through(runs, soft)
            elif self.estimator == "dsnas":
                gates[name] = rewarded(runs, log_probability[name], self.reward_limit)
            else:
                gates[name] = runs.to(values.dtype)
        return GateSample(gates, on_host(active), log_probability=log_probability or None)

    def probabilities(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the probability that each operation is chosen: the softmax."""
        return {name: masked_softmax(values, mask[name]) for name, values in logits.items()}

    def initial_logits(self, space: SearchSpace, generator: torch.Generator) -> dict[str, Tensor]:
        """Return 1e-3 times standard normal numbers, DSNAS N(1, 0.01); (edges, ops) per type."""
        if self.estimator == "dsnas":
            noise = normal_logits(space, generator, 0.01)
            return {name: 1 + values for name, values in noise.items()}
        return normal_logits(space, generator, 1e-3)


def strongest(scores: Tensor, allowed: Tensor, count: int = 1) -> Tensor:
    """Return the `count` largest allowed scores of each edge, or fewer, bool (edges, ops).

    Args:
        scores: (edges, ops).
        allowed: Bool (edges, ops).
        count: How many.
    """
    ranked = scores.masked_fill(~allowed, -torch.inf).topk(min(count, scores.shape[-1])).indices
    return torch.zeros_like(allowed).scatter_(1, ranked, True) & allowed


def rewarded(chosen: Tensor, log_probability: Tensor, limit: float | None = None) -> Tensor:
    """Return one-hot gates that hand the gradient of the chosen one to its log-probability.

    Args:
        chosen: Bool (edges, ops), at most one per edge.
        log_probability: ln p of the chosen operations, (edges,).
        limit: Largest size of a reward; None: any.
    """
    reward = log_probability.clone()
    if limit is not None and reward.requires_grad:
        reward.register_hook(  # type: ignore[no-untyped-call]  # torch's own
            lambda gradient: gradient.clamp(-limit, limit)
        )
    return straight_through(chosen, reward[:, None] * chosen)
