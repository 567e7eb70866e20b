"""Products over the units that dropout leaves, against those over all."""

import pytest
import torch

from lnas import kernels
from lnas.errors import NO_SECOND_DERIVATIVE
from lnas.operations import kept_product as module
from lnas.operations.kept_product import leaves_few_units, masked_product

compiled = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler here")


def given(steps=7, streams=3, units=20, columns=70, dtype=torch.float64, kept=0.25):
    draw = torch.Generator().manual_seed(steps * columns)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype)

    mask = 2.0 * (torch.rand(streams, units, generator=draw) < kept).to(dtype)
    return normal(steps, streams, units), normal(units, columns), mask


def results(sequence, matrix, mask, threads=1):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        leaves = [tensor.detach().requires_grad_() for tensor in (sequence, matrix)]
        product = masked_product(*leaves, mask)
        weights = torch.linspace(-1, 1, product.numel(), dtype=product.dtype)
        found = torch.autograd.grad((product * weights.view_as(product)).sum(), leaves)
    finally:
        torch.set_num_threads(before)
    return [product.detach(), *found]


@compiled
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("columns", [1, 32, 70])  # less than a panel, whole ones, some more
@pytest.mark.parametrize("steps", [4, 35, 70])  # up to several blocks of vectors
def test_product_and_gradients_are_those_over_all_units(steps, columns, threads):
    tensors = given(steps, columns=columns)
    assert leaves_few_units(tensors[2], tensors[0])
    found = results(*tensors, threads)
    with kernels.disabled():
        expected = results(*tensors)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@compiled
def test_a_stream_that_keeps_nothing_has_products_of_zero():
    sequence, matrix, mask = given()
    mask[1] = 0
    product, of_sequence, _ = results(sequence, matrix, mask)
    assert not product[:, 1].any()
    assert not of_sequence[:, 1].any()
    assert product[:, 0].any()


@compiled
def test_half_of_a_larger_matrix_is_read_as_it_lies():
    sequence, matrix, mask = given()
    wide = torch.cat([matrix, matrix], 1)
    for half in wide.chunk(2, 1):
        for one, other in zip(
            results(sequence, half, mask), results(sequence, matrix, mask), strict=True
        ):
            assert torch.equal(one, other)
    turned = results(sequence, matrix.t().contiguous().t(), mask)[0]
    assert torch.equal(turned, results(sequence, matrix, mask)[0])


@compiled
def test_results_do_not_depend_on_the_number_of_threads():
    tensors = given(35, streams=9, columns=200, dtype=torch.float32)
    pairs = zip(results(*tensors, threads=1), results(*tensors, threads=2), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)


@compiled
@pytest.mark.parametrize("wanted", [0, 1])
def test_only_the_gradient_that_is_asked_for_is_computed(wanted):
    sequence, matrix, mask = given()
    every = results(sequence, matrix, mask)[1:]
    leaves = [sequence, matrix]
    leaves[wanted] = leaves[wanted].detach().requires_grad_()
    product = masked_product(*leaves, mask)
    weights = torch.linspace(-1, 1, product.numel(), dtype=product.dtype)
    (product * weights.view_as(product)).sum().backward()
    assert leaves[1 - wanted].grad is None
    assert torch.equal(leaves[wanted].grad, every[wanted])


@pytest.mark.parametrize("change", ["few steps", "many units", "no mask", "half precision"])
def test_what_would_not_be_faster_is_left_to_torch(change, monkeypatch):
    sequence, matrix, mask = given(
        3 if change == "few steps" else 7, kept=0.9 if change == "many units" else 0.25
    )
    factors = None if change == "no mask" else mask
    if change == "half precision":
        sequence, matrix, factors = sequence.bfloat16(), matrix.bfloat16(), mask.bfloat16()
    monkeypatch.setattr(module, "_KeptProduct", None)
    expected = (sequence if factors is None else sequence * factors) @ matrix
    assert torch.equal(masked_product(sequence, matrix, factors), expected)


@compiled
def test_it_has_no_second_derivative():
    sequence, matrix, mask = given()
    product = masked_product(sequence.requires_grad_(), matrix, mask)
    with pytest.raises(RuntimeError, match=NO_SECOND_DERIVATIVE[:20]):
        torch.autograd.grad(product.sum(), sequence, create_graph=True)
