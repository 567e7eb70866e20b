"""The Hessian of the architecture's loss with respect to the logits, by its products only.

RobustDARTS (Zela et al., ICLR 2020, arXiv:1909.09656, section 4.1) watches its largest eigenvalue.
The released code builds the whole matrix of 224 rows, one backward pass for each; here a product
with a vector is one backward pass.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lnas.search.gradients import average, frozen
from lnas.tasks import Batch

if TYPE_CHECKING:
    from lnas.search.module import SearchModule


def architecture_hessian(
    module: "SearchModule", batches: Sequence[Batch]
) -> Callable[[Tensor], Tensor]:
    """Return v -> (H + decay) v for vectors over all logits, float64 (logits,) on the host.

    H belongs to the mean loss of the batches under the present weights, on the supernet's reference
    path, averaged over ranks; decay is the weight decay of the architecture's optimizer, which is
    part of what it minimises. Nothing of the search changes.

    Args:
        module: The search.
        batches: At least one, on the device; each rank has its own.
    """
    parameters = module.architecture_parameters()
    decay = float(module.trainer.optimizers[1].param_groups[0].get("weight_decay", 0.0))
    sizes = [parameter.numel() for parameter in parameters]
    with frozen(module.weight_parameters()), module.supernet.using("reference"):
        sample = module.sample("hessian")
        losses = [module.run(batch, "architecture", sample)[0] for batch in batches]
        slopes = torch.autograd.grad(
            torch.stack(losses).mean(), parameters, create_graph=True, materialize_grads=True
        )

    def product(vector: Tensor) -> Tensor:
        parts = torch.split(vector.to(slopes[0]), sizes)
        along = [part.view_as(slope) for part, slope in zip(parts, slopes, strict=True)]
        with frozen(module.weight_parameters()):  # as when cells that are computed again were built
            found = torch.autograd.grad(
                slopes, parameters, along, retain_graph=True, materialize_grads=True
            )
        flat = torch.cat([part.flatten() for part in found])
        (mean,) = average(module.trainer.strategy, [flat])
        return mean.to("cpu", torch.float64) + decay * vector

    return product
