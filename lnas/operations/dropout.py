"""Dropout inside a search: factors of 0 or 1 / (1 - rate), and skips dropped element by element.

Element-wise dropout behind skip connections is section 3.3 of Chen et al., "Progressive
Differentiable Architecture Search" (P-DARTS), ICCV 2019, arXiv:1904.12760, as released: skips must
not win by being trained sooner than convolutions.
"""

import torch
from torch import Tensor, nn


class SkipDropout(nn.Module):
    """The identity; with dropout as long as it has a generator and a rate.

    The supernet gives it both before a forward that may drop, and takes them away before others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.generator: torch.Generator | None = None
        self.rate: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W), each element 0 with probability `rate`."""
        if self.generator is None or self.rate is None:
            return x
        return x * keep_factors(x.shape, self.generator, self.rate, x.dtype)


def keep_factors(
    shape: tuple[int, ...], generator: torch.Generator, rate: Tensor, dtype: torch.dtype
) -> Tensor:
    """Draw factors: 0 where something is dropped, else 1 / (1 - rate); the rate is not read.

    Args:
        shape: Any shape.
        generator: Where the numbers come from, on the device of the result.
        rate: Probability to drop, a scalar in [0, 1].
        dtype: Kind of the factors.
    """
    numbers = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float32)
    keep = 1 - rate
    return (numbers < keep).to(dtype) / keep.clamp(min=1e-12).to(dtype)
