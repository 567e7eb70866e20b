"""The compiled kernels for dense convolutions against the operations themselves, in float64."""

import pytest
import torch

from lnas import kernels
from lnas.kernels import Dense, Edge, Gated, calls, dense_edges
from lnas.operations.convolutional import Pool, ReLUConv
from lnas.operations.normalization import statistics

pytestmark = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler here")

EDGES = [((3, 1), True, True), ((3,), False, True), ((1,), True, False), ((3, 1, 3), False, False)]
"""Kernels of the convolutions, skip, average."""


def operations(channels, dtype=torch.float64):
    torch.manual_seed(channels)
    made = [
        [ReLUConv(channels, k, 1, affine=False).to(dtype) for k in sides] for sides, _, _ in EDGES
    ]
    return made, sum(
        len(own) + skip + pool for own, (_, skip, pool) in zip(made, EDGES, strict=True)
    )


def images(channels, sides, dtype=torch.float64, count=3):
    x = torch.randn(count, channels, *sides, dtype=dtype)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def given(made, gates, factors=None, before=None):
    """Say edges as the kernels want them."""
    weighed = iter([Gated(g, None if factors is None else factors[k]) for k, g in enumerate(gates)])
    edges = []
    for k, (own, (_, skip, pool)) in enumerate(zip(made, EDGES, strict=True)):
        edge = Edge(before=None if before is None else before[k])
        for one in own:
            dense = Dense(one.conv1.weight, one.bn1.eps, one.conv1.bias)
            edge.dense.append((dense, next(weighed)))
        edge.skip = next(weighed) if skip else None
        edge.pool = next(weighed) if pool else None
        edges.append(edge)
    return edges


def plain(x, made, gates, factors=None, before=None):
    """The sums as the papers write them."""
    results, k = [], 0
    for edge, (own, (_, skip, pool)) in enumerate(zip(made, EDGES, strict=True)):
        terms = [one(x) for one in own]
        terms += [x] if skip else []
        terms += [Pool("avg", x.shape[1], 1, normalize=False)(x)] if pool else []
        total = 0 if before is None or before[edge] is None else before[edge]
        for term in terms:
            total = total + gates[k] * (
                term if factors is None else factors[k].view(-1, 1, 1, 1) * term
            )
            k += 1
        results.append(total)
    return results


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize(
    ("channels", "count", "sides"),
    [
        (4, 3, (6, 8)),
        (16, 2, (34, 32)),  # an image in several pieces, the last of another size
        (6, 5, (7, 5)),
        (64, 7, (4, 4)),  # several images in a piece, the last of another size
        (8, 3, (1, 1)),  # kernels larger than the image
    ],
)
def test_sums_and_all_gradients_are_those_of_the_operations(
    channels, count, sides, dropped, threads
):
    (made, terms), x = operations(channels), images(channels, sides, count=count)
    gates = torch.randn(terms, dtype=x.dtype)
    gates[1] = 0.0
    gates.requires_grad_()
    factors = torch.rand(terms, count, dtype=x.dtype) if dropped else None
    before = [images(channels, sides, count=count), None, None, None]
    leaves = [x, gates, before[0], *(p for own in made for one in own for p in one.parameters())]
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found, _ = dense_edges(x, given(made, gates.unbind(), factors, before))
        expected = plain(x, made, gates, factors, before)
        cotangents = [torch.randn_like(one) for one in expected]
        mine = torch.autograd.grad(found, leaves, cotangents)
    finally:
        torch.set_num_threads(threads_before)
    oracle = torch.autograd.grad(expected, leaves, cotangents)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(mine, oracle, rtol=1e-10, atol=1e-10)


def test_moments_are_those_of_the_batch():
    (made, terms), x = operations(8), images(8, (6, 6))
    _, moments = dense_edges(x, given(made, torch.ones(terms, dtype=x.dtype).unbind()))
    dense = torch.nn.ModuleList(one for own in made for one in own)
    with statistics(dense, "update"):
        for one in dense:
            one(x)
    for one, (mean, inverse, variance) in zip(dense, moments, strict=True):
        torch.testing.assert_close((mean + one.conv1.bias) * 0.1, one.bn1.running_mean)
        torch.testing.assert_close(0.9 + 0.1 * variance * 108 / 107, one.bn1.running_var)
        torch.testing.assert_close(inverse, (variance + one.bn1.eps).rsqrt())


def test_moments_keep_their_digits_far_from_zero():
    made, terms = operations(8, torch.float32)
    x = images(8, (12, 8), torch.float32).detach() * 1e-3 + 100.0
    _, moments = dense_edges(x, given(made, torch.ones(terms).unbind()))
    dense = [one for own in made for one in own]
    for one, (mean, _, variance) in zip(dense, moments, strict=True):
        y = torch.nn.functional.conv2d(
            x.double(), one.conv1.weight.double(), padding=one.kernel // 2
        )
        expected = torch.var_mean(y, dim=(0, 2, 3), correction=0)
        torch.testing.assert_close(mean, expected[1], rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(variance, expected[0], rtol=1e-2, atol=0)


def test_float32_agrees_to_rounding_and_does_not_depend_on_threads():
    (made, terms), x = operations(16, torch.float32), images(16, (32, 32), torch.float32, count=5)
    gates = torch.rand(terms).unbind()
    found, before = {}, torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found[threads], _ = dense_edges(x, given(made, gates))
    torch.set_num_threads(before)
    assert all(map(torch.equal, found[1], found[2]))
    torch.testing.assert_close(found[1], plain(x, made, gates), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wanted", ["x", "gates", "weight", "before"])
def test_only_the_gradients_that_are_asked_for_are_there(wanted):
    (made, terms), x = operations(4), images(4, (4, 4)).detach()
    gates = torch.rand(terms, dtype=x.dtype)
    before = [images(4, (4, 4)).detach(), None, None, None]
    for own in made:
        for one in own:
            one.requires_grad_(False)
    weight = made[0][1].conv1.weight
    leaf = {"x": x, "gates": gates, "weight": weight, "before": before[0]}[wanted].requires_grad_()
    found, _ = dense_edges(x, given(made, gates.unbind(), before=before))
    expected = plain(x, made, gates, before=before)
    losses = [sum((one.sin() for one in sums), torch.zeros(())).sum() for sums in (found, expected)]
    (oracle,), done = torch.autograd.grad(losses[1], leaf), calls()
    (mine,) = torch.autograd.grad(losses[0], leaf)
    torch.testing.assert_close(mine, oracle, rtol=1e-10, atol=1e-10)
    # The sums, and only for images and weights what follows from them.
    assert calls() - done == (2 if wanted in ("x", "weight") else 1)


def test_a_gate_of_zero_gives_its_weights_zero_gradients():
    (made, terms), x = operations(4), images(4, (4, 4))
    gates = torch.zeros(terms, dtype=x.dtype).requires_grad_()
    found, _ = dense_edges(x, given(made, gates.unbind()))
    torch.autograd.backward(found, [torch.randn_like(one) for one in found])
    assert not x.grad.any()
    assert all(not p.grad.any() for own in made for one in own for p in one.parameters())
    assert gates.grad.all()


def test_what_is_not_a_number_stays_so():
    (made, terms), x = operations(4), images(4, (4, 4)).detach()
    x[0, 0, 0, 0] = torch.nan
    found, _ = dense_edges(x, given(made, torch.ones(terms, dtype=x.dtype).unbind()))
    assert all(one.isnan().any() for one in found)


def test_there_are_no_second_derivatives():
    (made, terms), x = operations(4), images(4, (4, 4))
    found, _ = dense_edges(x, given(made, torch.ones(terms, dtype=x.dtype).unbind()))
    with pytest.raises(RuntimeError, match="use the reference path"):
        torch.autograd.grad(found[0].sum(), x, create_graph=True)
