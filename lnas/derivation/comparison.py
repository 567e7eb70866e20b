"""Comparison: many gates measured on the same held-out batches, with errors of their differences.

All gates see the same images in the same batches, so that a difference is known far better than
either of its sides: its standard error is that of the weighted mean of the differences, batch by
batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from lnas.derivation.criteria import SelectionContext
from lnas.relaxations import GateSample


@dataclass(frozen=True)
class Comparison:
    """Means over all examples of all ranks, the same on every rank.

    Args:
        values: Mean of the measure under each of the gates, (gates,), in host memory.
        moments: Sums of squared weights times 1, v_k and v_k v_l over the batches, shaped (),
            (gates,) and (gates, gates).
        weight: Sum of the batches' weights (examples).
        batches: Number of batches of all ranks.
        rounding: Differences up to this are none: gates of equal effect are measured along other
            ways through the supernet.
    """

    values: Tensor
    moments: tuple[Tensor, Tensor, Tensor]
    weight: float
    batches: float
    rounding: float

    def best(self, preferences: Tensor) -> int:
        """Return the place of the largest number; the first of those that are equal."""
        return int((preferences >= preferences.max() - self.rounding).int().argmax())

    def error(self, one: int, other: int) -> float | None:
        """Return the standard error of the difference of two means; None with a single batch."""
        if self.batches < 2:
            return None
        zeroth, first, second = self.moments
        mean = float(self.values[one] - self.values[other])
        square = second[one, one] - 2 * second[one, other] + second[other, other]
        around = float(square) - 2 * mean * float(first[one] - first[other])
        variance = (around + mean * mean * float(zeroth)) / self.weight**2
        return math.sqrt(max(variance, 0.0) * self.batches / (self.batches - 1))


@torch.no_grad()
def compare(
    context: SelectionContext, samples: Sequence[GateSample], measure: str, batches: int | None
) -> Comparison:
    """Measure each sample on the same batches.

    Args:
        context: Where the batches come from; every rank must call.
        samples: The gates that are compared.
        measure: Name of the measure, "loss" or one of the task's.
        batches: How many held-out batches at most; None: all.
    """
    assert context.batches is not None
    assert context.measures is not None
    rows, weights = [], []
    for batch in islice(context.batches(), batches):
        found = context.measures(samples, batch)
        rows.append(torch.stack([one[measure] for one in found]).double())
        weights.append(found[0]["examples"])
    values = torch.stack(rows)  # (batches, gates)
    rounding = 16 * torch.finfo(found[0][measure].dtype).eps
    weight = torch.stack(weights).to(values)
    # About the first gates: what the measures have in common does not blur the squares.
    origin = context.average(values[:, 0].mean())
    centred, squared = values - origin, weight.square()
    sums = [
        torch.stack([weight.sum(), squared.sum(), torch.ones_like(origin) * len(rows)]),
        weight @ centred,
        squared @ centred,
        ((squared[:, None] * centred).T @ centred).flatten(),
    ]
    totals = context.average(torch.cat(sums)).cpu() * context.ranks
    count = len(samples)
    (total, zeroth, number), first, second, products = torch.split(
        totals, [3, count, count, count**2]
    )
    # Moments about the origin serve differences as well as moments about 0.
    means = first / total + origin.cpu()
    return Comparison(
        means,
        (zeroth, second, products.view(count, count)),
        float(total),
        float(number),
        rounding * float(means.abs().max()),
    )
