"""Compiled products with a matrix laid out once against torch's own."""

import pytest
import torch

from lnas import kernels
from lnas.kernels import Panels, Room

pytestmark = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler here")


def given(rows, inner, columns, dtype=torch.float64):
    draw = torch.Generator().manual_seed(100 * rows + columns)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype)

    return normal(rows, inner), normal(inner, columns), *(normal(rows, columns) for _ in range(2))


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 64])
@pytest.mark.parametrize("inner", [1, 33])
@pytest.mark.parametrize("columns", [1, 16, 35, 128])  # less than a panel, whole ones, some more
def test_products_are_those_of_torch(rows, inner, columns):
    x, matrix, add, factors = given(rows, inner, columns)
    laid_out, product = Panels(matrix, Room()), x @ matrix
    found = laid_out.multiply(x, torch.empty_like(add))
    torch.testing.assert_close(found, product, rtol=1e-12, atol=1e-12)
    found = laid_out.multiply(x, torch.empty_like(add), add, factors)
    torch.testing.assert_close(found, product * factors + add, rtol=1e-12, atol=1e-12)
    wanted = product + add
    torch.testing.assert_close(laid_out.multiply(x, add, add), wanted, rtol=1e-12, atol=1e-12)


def test_transposed_matrices_and_parts_of_rows_are_read_as_they_lie():
    x, matrix, _, factors = given(5, 20, 37)
    wide = torch.full((5, 60), 7.0, dtype=x.dtype)
    wide[:, :20] = x
    out = torch.full((5, 40), 7.0, dtype=x.dtype)
    turned = Panels(matrix.t().contiguous().t(), Room())
    turned.multiply(wide[:, :20], out[:, :37], factors=factors.t().contiguous().t())
    torch.testing.assert_close(out[:, :37], x @ matrix * factors, rtol=1e-12, atol=1e-12)
    assert (out[:, 37:] == 7).all()


def test_what_is_done_to_the_matrix_later_does_not_count():
    x, matrix, out, _ = given(3, 4, 5)
    laid_out, product = Panels(matrix, Room()), x @ matrix
    matrix.zero_()
    torch.testing.assert_close(laid_out.multiply(x, out), product, rtol=1e-12, atol=1e-12)


def test_single_precision_is_exact_to_its_rounding():
    x, matrix, add, factors = given(9, 50, 70)
    wanted = x @ matrix * factors + add
    x, matrix, add, factors = (tensor.float() for tensor in (x, matrix, add, factors))
    found = Panels(matrix, Room()).multiply(x, torch.empty_like(add), add, factors)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


def test_results_do_not_depend_on_the_number_of_threads():
    x, matrix, out, _ = given(64, 85, 170, torch.float32)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(Panels(matrix, Room()).multiply(x, torch.empty_like(out)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(other, found[0]) for other in found[1:])
