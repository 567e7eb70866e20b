"""The loss without scores in memory against torch's own."""

import pytest
import torch
from torch.nn import functional

from lnas.operations import word_loss as module
from lnas.operations.word_loss import word_loss


def inputs(dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    sizes = ((11, 4), (7, 4), (7,))
    tensors = [torch.randn(*size, generator=draw, dtype=dtype) for size in sizes]
    return tensors, torch.randint(7, (11,), generator=draw)


@pytest.mark.parametrize("scores", [7, 30, 10_000])
@pytest.mark.parametrize("learning", [(0, 1, 2), (0,), (1, 2), (2,)])
def test_loss_and_gradients_are_those_of_the_whole(monkeypatch, scores, learning):
    monkeypatch.setattr(module, "SCORES", scores)  # one row at a time, four, all
    tensors, targets = inputs()
    wanted = [tensors[index].requires_grad_() for index in learning]
    found = word_loss(*tensors, targets)
    features, weight, bias = tensors
    expected = functional.cross_entropy(functional.linear(features, weight, bias), targets)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    pairs = zip(
        torch.autograd.grad(3 * found, wanted), torch.autograd.grad(3 * expected, wanted),
        strict=True,
    )  # fmt: skip
    for gradient, reference in pairs:
        torch.testing.assert_close(gradient, reference, rtol=1e-11, atol=1e-12)


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
