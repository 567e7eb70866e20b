"""The loss without scores in memory against torch's own."""

import pytest
import torch
from torch.nn import functional

from lnas import kernels
from lnas.operations import kept_product
from lnas.operations import word_loss as module
from lnas.operations.word_loss import word_loss


def inputs(dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    sizes = ((4, 3, 5), (7, 5), (7,))
    tensors = [torch.randn(*size, generator=draw, dtype=dtype) for size in sizes]
    return tensors, torch.randint(7, (4, 3), generator=draw)


def whole(features, weight, bias, targets):
    scores = functional.linear(features, weight, bias)
    return functional.cross_entropy(scores.flatten(0, 1), targets.flatten())


@pytest.mark.parametrize("scores", [7, 30, 10_000])
@pytest.mark.parametrize("learning", [(0, 1, 2), (0,), (1, 2), (2,)])
def test_loss_and_gradients_are_those_of_the_whole(monkeypatch, scores, learning):
    monkeypatch.setattr(module, "SCORES", scores)  # one row at a time, four, all
    tensors, targets = inputs()
    wanted = [tensors[index].requires_grad_() for index in learning]
    found = word_loss(*tensors, targets)
    expected = whole(*tensors, targets)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    pairs = zip(
        torch.autograd.grad(3 * found, wanted), torch.autograd.grad(3 * expected, wanted),
        strict=True,
    )  # fmt: skip
    for gradient, reference in pairs:
        torch.testing.assert_close(gradient, reference, rtol=1e-11, atol=1e-12)


@pytest.mark.skipif(not kernels.available(), reason="no C++ compiler here")
@pytest.mark.parametrize("kept", [0, 2, 5])
@pytest.mark.parametrize("learning", [(0, 1, 2), (0,), (1,), (2,)])
def test_products_over_kept_units_are_those_over_all(kept, learning, monkeypatch):
    tensors, targets = inputs()
    order = torch.rand(3, 5, generator=torch.Generator().manual_seed(1)).argsort(1)
    mask = 2.0 * (order < kept).double()
    wanted = [tensors[index].requires_grad_() for index in learning]

    def given():
        return (tensors[0] * mask, *tensors[1:], targets)

    expected = whole(*given())
    gradients = torch.autograd.grad(3 * expected, wanted)
    taken = []
    for name in ("_of_all", "kept_word_losses"):
        own = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, o=own, n=name: taken.append(n) or o(*a))
    found = word_loss(*given(), mask)
    assert taken == ["kept_word_losses" if kept < 3 else "_of_all"]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for gradient, reference in zip(torch.autograd.grad(3 * found, wanted), gradients, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-11, atol=1e-12)
    with kernels.disabled():
        word_loss(*given(), mask)
    assert taken[-1] == "_of_all"
    monkeypatch.setattr(kept_product, "STEPS", 5)
    word_loss(*given(), mask)
    assert taken[-1] == "_of_all"  # so few steps are not worth the rows that they take


def test_extreme_scores_stay_finite():
    tensors, targets = inputs()
    tensors[0] *= 1e4
    for tensor in tensors:
        tensor.requires_grad_()
    found = word_loss(*tensors, targets)
    found.backward()
    assert torch.isfinite(found)
    assert all(torch.isfinite(tensor.grad).all() for tensor in tensors)


def test_measuring_computes_no_gradient():
    tensors, targets = inputs()
    tensors[1].requires_grad_()
    with torch.no_grad():
        assert not word_loss(*tensors, targets).requires_grad


def test_second_derivatives_are_refused_not_zero():
    tensors, targets = inputs()
    tensors[0].requires_grad_()
    with pytest.raises(RuntimeError, match="reference path"):
        torch.autograd.grad(word_loss(*tensors, targets), tensors[0], create_graph=True)


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_a_second_backward_adds_the_same_gradients(factor):
    tensors, targets = inputs()
    wanted = [tensor.requires_grad_() for tensor in tensors]
    expected = torch.autograd.grad(factor * whole(*tensors, targets), wanted)
    loss = factor * word_loss(*tensors, targets)
    loss.backward(retain_graph=True)
    for tensor in tensors:
        tensor.grad *= 3  # in place, as optimizers and clipping do
    loss.backward()
    for tensor, gradient in zip(tensors, expected, strict=True):
        torch.testing.assert_close(tensor.grad, 4 * gradient, rtol=1e-11, atol=1e-12)


def test_half_precision_keeps_small_probabilities():
    draw = torch.Generator().manual_seed(2)
    features = torch.randn(80, 50, 8, generator=draw).mul(0.1).half()
    targets = torch.randint(3000, (80, 50), generator=draw)
    weight, bias = torch.zeros(3000, 8).half(), torch.zeros(3000).half().requires_grad_()
    word_loss(features, weight, bias, targets).backward()
    exact = torch.full((3000,), 1 / 3000, dtype=torch.float64)
    exact -= targets.flatten().bincount(minlength=3000) / targets.numel()
    torch.testing.assert_close(bias.grad.double(), exact, rtol=0.02, atol=2e-5)
