"""The compiled edges of recurrent cells against the formula, in float64."""

import pytest
import torch

from lnas import kernels
from lnas.kernels import CURVES, LeavingEdges, readable

pytestmark = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler here")

SHAPES = {name: getattr(torch, name) for name in ("tanh", "relu", "sigmoid")}
EXTREME = (0.0, -0.0, 1e-8, -1e-8, 0.5, -0.5, 19.0, -19.0, 88.0, -88.0, 700.0, -700.0, 1e4, -1e4)


def given(streams=3, units=5, dtype=torch.float64, seed=0):
    draw = torch.Generator().manual_seed(seed)
    edges, nodes = 3, 6

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype)

    pairs, state = 3 * normal(streams, 2, edges, units), normal(streams, units)
    return [1, 3, 4], normal(edges, 5), pairs, state, normal(nodes, streams, units)


def plain(targets, weights, pairs, state, sums):
    """The sums as the paper writes them, with the weight of the state apart."""
    gate, candidate = pairs.unbind(1)
    values = [SHAPES.get(name, lambda x: x)(candidate) for name in CURVES]
    mixed = sum(w[:, None] * value for w, value in zip(weights.t()[:4], values, strict=True))
    around = weights[:, 4, None] * state[:, None]
    edges = around + gate.sigmoid() * (mixed - around)
    return sums.index_add(0, torch.tensor(targets), edges.transpose(0, 1))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("units", [1, 4, 5, 19])  # filled up, whole and both vectors
def test_sums_and_all_gradients_are_those_of_the_formula(units, threads):
    targets, weights, pairs, state, sums = given(units=units)
    wanted = [tensor.requires_grad_() for tensor in (weights, pairs, state)]
    expected = plain(targets, *wanted, sums)
    grad = torch.randn(expected.shape, dtype=torch.float64)
    of_weights, of_pairs, of_state = torch.autograd.grad(expected, wanted, grad)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        edges = LeavingEdges(targets, weights, 3, learns_gates=True)
        given_pairs, found = pairs.detach().clone(), torch.ones_like(state)
        edges.read(given_pairs, state, sums)
        edges.learn(given_pairs, state, grad, found)
    finally:
        torch.set_num_threads(before)
    close = {"rtol": 1e-12, "atol": 1e-13}
    torch.testing.assert_close(sums, expected.detach(), **close)
    torch.testing.assert_close(found, 1 + of_state, **close)
    torch.testing.assert_close(given_pairs, of_pairs, **close)
    torch.testing.assert_close(edges.products.sum(0), of_weights, **close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("curve", range(4))
def test_curves_are_exact_to_rounding_wherever_they_are_read(curve, dtype):
    points = torch.cat([torch.linspace(-25, 25, 1001), torch.tensor(EXTREME)]).to(dtype)
    pairs = torch.zeros(1, 2, 1, len(points), dtype=dtype)
    pairs[0, 0], pairs[0, 1] = points, points
    weights = torch.zeros(1, 5, dtype=dtype)
    weights[0, curve] = 1
    edges = LeavingEdges([0], weights, 1, learns_gates=False)
    sums = torch.zeros(1, 1, len(points), dtype=dtype)
    of_state = torch.zeros(1, len(points), dtype=dtype)
    edges.read(pairs, of_state, sums)
    exact = points.double().requires_grad_()
    value = SHAPES.get(CURVES[curve], lambda x: x)(exact)
    (slope,) = torch.autograd.grad(value.sum(), exact)
    near = {"rtol": 8 * torch.finfo(dtype).eps, "atol": 2 * torch.finfo(dtype).eps}
    gated = exact.sigmoid() * value
    torch.testing.assert_close(sums[0, 0].double(), gated.detach(), **near)
    edges.learn(pairs, of_state, torch.ones_like(sums), of_state.clone())
    torch.testing.assert_close(pairs[0, 1, 0].double(), (exact.sigmoid() * slope).detach(), **near)


def test_results_do_not_depend_on_the_number_of_threads():
    targets, weights, pairs, state, sums = given(streams=7, units=300, dtype=torch.float32)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            edges = LeavingEdges(targets, weights, 7, learns_gates=True)
            own, out, back = pairs.clone(), sums.clone(), torch.zeros_like(state)
            edges.read(own, state, out)
            edges.learn(own, state, sums, back)
            found.append((own, out, back, edges.products))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_what_is_not_a_number_stays_none():
    targets, weights, pairs, state, sums = given()
    pairs[0, 0, 0, 0] = torch.nan
    pairs[1, 1, 2, 3] = torch.nan
    edges = LeavingEdges(targets, weights, 3, learns_gates=False)
    edges.read(pairs, state, sums)
    places = sums.isnan().nonzero().tolist()
    assert places == [[targets[0], 0, 0], [targets[2], 1, 3]]


def test_what_kernels_cannot_read_is_left_to_torch():
    assert readable(torch.zeros(2, 3))
    assert not readable(torch.zeros(2, 3, dtype=torch.bfloat16))
    assert not readable(torch.zeros(2, 3, device="meta"))
    with kernels.disabled():
        assert not readable(torch.zeros(2, 3))
