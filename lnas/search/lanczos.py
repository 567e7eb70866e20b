"""The largest eigenvalue of a symmetric matrix that is known by its products with vectors only.

Lanczos, "An Iteration Method for the Solution of the Eigenvalue Problem", 1950, with complete
reorthogonalisation, which is cheap for the few hundred logits of an architecture and leaves no
spurious eigenvalues.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def largest_eigenvalue(
    product: Callable[[Tensor], Tensor],
    size: int,
    generator: torch.Generator,
    tolerance: float = 1e-4,
    iterations: int = 100,
) -> float:
    """Return the (algebraically) largest eigenvalue.

    Args:
        product: The matrix times a vector, both float64 (size,) on the host.
        size: Rows of the matrix.
        generator: Draws the vector to start from.
        tolerance: Relative error at which to stop; the bound is the residual of the Ritz pair.
        iterations: Products at most; `size` of them are exact.
    """
    vector = torch.randn(size, generator=generator, dtype=torch.float64)
    basis = (vector / vector.norm())[None]  # (steps, size)
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        image = product(basis[-1])
        diagonal.append(float(image @ basis[-1]))
        for _ in range(2):  # once leaves a rest of the order of the rounding
            image = image - basis.T @ (basis @ image)
        length = float(image.norm())
        values, vectors = torch.linalg.eigh(_tridiagonal(diagonal, beside))
        largest = float(values[-1])
        residual = length * abs(float(vectors[-1, -1]))
        steps = len(diagonal)
        if residual <= tolerance * abs(largest) or steps >= min(iterations, size):
            return largest
        beside.append(length)
        basis = torch.cat([basis, image[None] / length])


def _tridiagonal(diagonal: list[float], beside: list[float]) -> Tensor:
    on, off = (torch.tensor(values, dtype=torch.float64) for values in (diagonal, beside))
    return torch.diag(on) + torch.diag(off, 1) + torch.diag(off, -1)
