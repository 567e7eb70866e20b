"""ZeroOneLoss: push independent gates to 0 or to 1 (FairDARTS).

Section 3.3 of Chu et al., "Fair DARTS: Eliminating Unfair Advantages in Differentiable Architecture
Search", ECCV 2020, arXiv:1911.12126: minus the mean squared distance of the gates to 1/2, or in the
paper's comparison minus the mean distance; over all cell types together. As released, weight 10.
The loss does not separate gates that share a sum, as those of a softmax do. Deviation from the
released code: it is no part of the weights' loss, where it has no gradient.
"""

from typing import Literal, final, get_args

import torch
from torch import Tensor

from lnas.errors import InputError
from lnas.search import SearchCallback, SearchModule, SearchStep

Form = Literal["l2", "l1"]


@final
class ZeroOneLoss(SearchCallback):
    """Minus the weighted mean distance of all gates to 1/2.

    Args:
        weight: Factor of the loss.
        form: "l2": squared distance; "l1": distance.

    Raises:
        InputError: The form is unknown.
    """

    def __init__(self, weight: float = 10.0, form: Form = "l2") -> None:
        if form not in get_args(Form):
            raise InputError(f"form={form!r} is unknown; choose one of {get_args(Form)}.")
        self.weight, self.form = weight, form

    def architecture_loss(self, module: SearchModule, step: SearchStep) -> Tensor:
        """Return the loss, in [-weight / 4, 0] or [-weight / 2, 0]; least when all are 0 or 1."""
        mask, tables = module.architecture.mask(), module.architecture.probabilities()
        gates = torch.cat(list(tables.values()))
        return self.weight * zero_one_loss(gates, self.form, torch.cat([mask[n] for n in tables]))


def zero_one_loss(gates: Tensor, form: Form, mask: Tensor) -> Tensor:
    """Return minus the mean of (gate - 1/2)^2, or of |gate - 1/2|, scalar.

    Args:
        gates: Any shape.
        form: As of `ZeroOneLoss`.
        mask: The gates that count, bool of the same shape.
    """
    distance = (gates - 0.5) * mask
    each = distance.square() if form == "l2" else distance.abs()
    return -each.sum() / mask.sum().clamp(min=1)
