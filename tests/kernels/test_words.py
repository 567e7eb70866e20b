"""The compiled loss of a large vocabulary against torch's own, over several chunks of words."""

import pytest
import torch
from torch.nn import functional

from lnas import kernels
from lnas.kernels import kept_word_losses

pytestmark = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler here")


def given(words=1100, steps=7, streams=3, units=20, dtype=torch.float64):
    draw = torch.Generator().manual_seed(words)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype)

    mask = 2.0 * (torch.rand(streams, units, generator=draw) < 0.4).to(dtype)
    targets = torch.randint(words, (steps, streams), generator=draw)
    targets[0, 0], targets[-1, -1] = 0, words - 1
    return targets, mask, normal(steps, streams, units) * mask, normal(words, units), normal(words)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("words", [3, 512, 1100])  # less than a vector, a chunk, a few
@pytest.mark.parametrize(("steps", "streams"), [(1, 3), (7, 11), (35, 3), (70, 2)])
def test_loss_and_gradients_are_those_of_the_whole(words, steps, streams, threads):
    targets, mask, *inputs = given(words, steps, streams)
    wanted = [tensor.requires_grad_() for tensor in inputs]
    scores = functional.linear(wanted[0], *wanted[1:])
    expected = functional.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="mean")
    gradients = torch.autograd.grad(expected, wanted)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        loss, found = kept_word_losses([True] * 3, targets, mask, *(t.detach() for t in wanted))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-12, atol=1e-12)
    kept = [mask != 0, slice(None), slice(None)]  # what is dropped has no gradient that counts
    for one, other, where in zip(found, gradients, kept, strict=True):
        part = (slice(None), where) if isinstance(where, torch.Tensor) else where
        torch.testing.assert_close(one[part], other[part], rtol=1e-11, atol=1e-12)
    assert not found[0][:, mask == 0].any()


def test_single_precision_is_exact_to_its_rounding():
    targets, mask, *inputs = given()
    exact, wide = kept_word_losses([True] * 3, targets, mask, *inputs)
    loss, narrow = kept_word_losses([True] * 3, targets, mask.float(), *(t.float() for t in inputs))
    torch.testing.assert_close(loss.double(), exact, rtol=1e-6, atol=0)
    for one, other in zip(narrow, wide, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-6)


def test_results_do_not_depend_on_the_number_of_threads():
    targets, mask, *inputs = given(dtype=torch.float32)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            loss, gradients = kept_word_losses([True] * 3, targets, mask, *inputs)
            found.append([loss, *gradients])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


@pytest.mark.parametrize("wanted", range(3))
def test_only_what_is_asked_for_is_returned(wanted):
    targets, mask, *inputs = given(40)
    _, every = kept_word_losses([True] * 3, targets, mask, *inputs)
    _, found = kept_word_losses([index == wanted for index in range(3)], targets, mask, *inputs)
    assert [gradient is None for gradient in found] == [index != wanted for index in range(3)]
    torch.testing.assert_close(found[wanted], every[wanted])


def test_what_is_not_a_number_makes_the_loss_none():
    targets, mask, features, weight, bias = given(40)
    mask[1, 2] = 2.0
    features[0, 1, 2] = torch.nan
    loss, _ = kept_word_losses([True] * 3, targets, mask, features, weight, bias)
    assert loss.isnan()


@pytest.mark.parametrize("target", [-1, 40])
def test_a_target_that_is_no_word_is_refused(target):
    targets, mask, *inputs = given(40)
    targets[2, 1] = target
    with pytest.raises(IndexError, match="there are 40 words"):
        kept_word_losses([True] * 3, targets, mask, *inputs)
