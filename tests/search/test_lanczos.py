"""Lanczos against the eigenvalues of the whole matrix."""

import pytest
import torch

from lnas.search.lanczos import largest_eigenvalue


def random_matrix(size, seed, spectrum=None):
    draw = torch.Generator().manual_seed(seed)
    square = torch.randn(size, size, generator=draw, dtype=torch.float64)
    turned, _ = torch.linalg.qr(square)
    values = (
        torch.randn(size, generator=draw, dtype=torch.float64) if spectrum is None else spectrum
    )
    return turned @ torch.diag(values) @ turned.T


def found(matrix, seed=0, **options):
    draw = torch.Generator().manual_seed(seed)
    return largest_eigenvalue(lambda v: matrix @ v, len(matrix), draw, **options)


@pytest.mark.parametrize("size", [1, 2, 30, 224])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_largest_eigenvalue(size, seed):
    matrix = random_matrix(size, seed)
    expected = torch.linalg.eigvalsh(matrix)[-1].item()
    assert found(matrix, tolerance=1e-10, iterations=size) == pytest.approx(expected, rel=1e-8)


def test_the_largest_is_not_the_largest_in_magnitude():
    spectrum = torch.linspace(-100, 1, 50, dtype=torch.float64)
    assert found(random_matrix(50, 1, spectrum), tolerance=1e-9) == pytest.approx(1.0)
    negative = spectrum - 2
    assert found(random_matrix(50, 1, negative), tolerance=1e-9) == pytest.approx(-1.0)


def test_equal_eigenvalues_and_zeros_end_the_iteration():
    assert found(3.0 * torch.eye(20, dtype=torch.float64)) == pytest.approx(3.0)
    assert found(torch.zeros(20, 20, dtype=torch.float64)) == 0
    low_rank = torch.zeros(20, dtype=torch.float64)
    low_rank[:2] = torch.tensor([5.0, -7.0])
    assert found(random_matrix(20, 2, low_rank)) == pytest.approx(5.0)


def test_the_tolerance_holds_with_far_fewer_products_than_rows():
    matrix = random_matrix(224, 3, torch.logspace(-6, 1, 224, dtype=torch.float64))
    products = []

    def product(vector):
        products.append(vector)
        return matrix @ vector

    value = largest_eigenvalue(product, 224, torch.Generator().manual_seed(0), tolerance=1e-3)
    assert value == pytest.approx(10.0, rel=1e-3)
    assert len(products) < 40
