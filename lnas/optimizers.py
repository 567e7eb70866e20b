"""The optimizers of DARTS: what searches and trainings use when nobody names another.

They are functions, and not calls of torch's classes in a signature: the command line would add the
arguments of such a default to those of a config that names the same class, and a search that asks
for `torch.optim.SGD` at a rate of 20 would get DARTS's momentum with it.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


def darts_sgd(parameters: Iterable[Tensor]) -> Optimizer:
    """Return the optimizer of weights: SGD (Liu et al., arXiv:1806.09055, appendix A.1.1)."""
    return torch.optim.SGD(parameters, lr=0.025, momentum=0.9, weight_decay=3e-4)


def darts_adam(parameters: Iterable[Tensor]) -> Optimizer:
    """Return the optimizer of the architecture: Adam (ibid.)."""
    return torch.optim.Adam(parameters, lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
