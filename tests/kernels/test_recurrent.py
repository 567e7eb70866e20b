"""The compiled steps of recurrent cells against the formula, in float64."""

import pytest
import torch

from lnas import kernels
from lnas.kernels import CURVES, LeavingEdges, RecurrentSteps, Room, StateNorm, readable

pytestmark = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler here")

SHAPES = {name: getattr(torch, name) for name in ("tanh", "relu", "sigmoid")}
EXTREME = (0.0, -0.0, 1e-8, -1e-8, 0.5, -0.5, 19.0, -19.0, 88.0, -88.0, 700.0, -700.0, 1e4, -1e4)
TARGETS = [[0], [1, 3], None, [3]]  # of the hidden state before, and of states 0, 1 and 2
EPS = 1e-3
SIZES = [(2, 1), (3, 4), (7, 19), (8, 16), (64, 35), (5, 350)]


class Cell:
    """A cell of four states on a sequence, with random numbers."""

    def __init__(self, streams=3, units=5, steps=4, dtype=torch.float64, masked=True):
        self.draw, self.dtype = torch.Generator().manual_seed(units), dtype
        self.streams, self.units, self.steps = streams, units, steps
        count = [0 if targets is None else len(targets) for targets in TARGETS]
        self.weights = [self.normal(edges, 5) / 2 for edges in count]
        self.matrices = [self.normal(units, 2 * n * units) / units**0.5 for n in count]
        self.projected = self.normal(steps, streams, 2 * units)
        self.hidden, self.grad = self.normal(streams, units), self.normal(steps, streams, units)
        kept = torch.rand(streams, units, generator=self.draw) < 0.6
        self.mask = 1.5 * kept.to(dtype) if masked else None
        self.shares = torch.tensor([0.0, 0.5, 0.2, 0.3], dtype=dtype)
        self.given = self.normal(units), self.normal(units).sigmoid()

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.draw, dtype=torch.float64).to(self.dtype)

    def plain(self, norm):
        """The hidden states as the paper writes them, and the states of the last step."""
        hidden, outputs = self.hidden, []
        for add in self.projected:
            states, sums = [], [torch.zeros_like(hidden) for _ in TARGETS]
            for number, targets in enumerate(TARGETS):
                before = states[-1] if number else hidden
                if targets is not None:
                    read = before if self.mask is None else before * self.mask
                    product = read @ self.matrices[number] + (0 if number else add)
                    pairs = product.view(self.streams, 2, len(targets), self.units)
                    for edge, target in enumerate(targets):
                        w = self.weights[number][edge]
                        gate, candidate = pairs[:, :, edge].unbind(1)
                        values = [SHAPES.get(name, lambda x: x)(candidate) for name in CURVES]
                        mixed = sum(own * value for own, value in zip(w, values, strict=False))
                        around = w[4] * before
                        sums[target] = sums[target] + around + gate.sigmoid() * (mixed - around)
                states.append(self.normalised(sums[number], norm))
            hidden = sum(share * state for share, state in zip(self.shares, states, strict=True))
            outputs.append(hidden)
        return torch.stack(outputs), torch.stack(states)

    def normalised(self, x, norm):
        if norm == "given":
            return (x - self.given[0]) * self.given[1]
        if norm == "streams":
            return (x - x.mean(0)) / (x.var(0, correction=0) + EPS).sqrt()
        return x

    def steps_of(self, norm=None, learns=True, learns_gates=True):
        """The compiled steps, and the edges of each source."""
        kept, rooms = self.steps if learns else 1, torch.empty
        edges = [
            None
            if targets is None
            else LeavingEdges(
                targets,
                weights,
                matrix.detach(),
                rooms(kept, self.streams, self.units, dtype=self.dtype),
                rooms(kept, self.streams, 2, len(targets), self.units, dtype=self.dtype),
                learns,
                learns and learns_gates,
                Room(),
            )
            for targets, weights, matrix in zip(TARGETS, self.weights, self.matrices, strict=True)
        ]
        states = rooms(kept, len(TARGETS), self.streams, self.units, dtype=self.dtype)
        table = rooms(3, self.steps * len(TARGETS), self.units, dtype=self.dtype)
        norms = {
            None: None,
            "given": StateNorm(EPS, self.given[1], self.given[0]),
            "streams": StateNorm(EPS, table[0], means=table[1], variances=table[2]),
        }
        return RecurrentSteps(edges, self.mask, self.shares, norms[norm], states), edges

    def run(self, steps):
        output = torch.empty_like(self.grad)
        steps.forward(self.projected.detach(), self.hidden.detach(), output)
        return output


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("norm", [None, "given", "streams"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("streams", "units"), SIZES)
@pytest.mark.parametrize("masked", [True, False])
def test_states_and_all_gradients_are_those_of_the_formula(streams, units, masked, threads, norm):
    cell = Cell(streams, units, masked=masked)  # less than vectors and panels, whole ones, and more
    given = [cell.projected, cell.hidden, *cell.weights, *cell.matrices]
    for tensor in given:
        tensor.requires_grad_()
    expected, last = cell.plain(norm)
    wanted = torch.autograd.grad(expected, given, cell.grad, allow_unused=True)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        steps, edges = cell.steps_of(norm)
        output = cell.run(steps)
        close(output, expected.detach())
        close(steps.values[-1], last.detach())
        of_hidden = steps.backward(cell.grad, cell.hidden.detach(), output)
    finally:
        torch.set_num_threads(before)
    close(of_hidden, wanted[1])
    close(edges[0].pairs.view_as(cell.projected), wanted[0])
    for number, source in enumerate(edges):
        if source is None:
            continue
        close(source.products.sum(0), wanted[2 + number])
        inputs, pairs = source.inputs.flatten(0, 1), source.pairs.flatten(2).flatten(0, 1)
        close(inputs.t() @ pairs, wanted[6 + number])


@pytest.mark.parametrize("curve", range(4))
def test_edges_of_one_activation_need_no_other(curve):
    cell = Cell(7, 19)
    for weights in cell.weights:
        weights.zero_()[:, [curve, 4]] = 1
    given = [cell.projected.requires_grad_(), cell.hidden.requires_grad_()]
    expected, _ = cell.plain(None)
    wanted = torch.autograd.grad(expected, given, cell.grad)
    steps, edges = cell.steps_of(learns_gates=False)
    output = cell.run(steps)
    close(output, expected.detach())
    close(steps.backward(cell.grad, cell.hidden.detach(), output), wanted[1])
    close(edges[0].pairs.view_as(cell.projected), wanted[0])
    assert edges[0].products is None


def test_without_a_backward_one_step_is_kept():
    cell = Cell()
    steps, edges = cell.steps_of(learns=False)
    close(cell.run(steps), cell.plain(None)[0])
    assert len(steps.values) == len(edges[0].pairs) == 1
    assert edges[0].transpose is None


def test_statistics_of_the_streams_are_handed_out():
    cell = Cell(streams=6)
    steps, _ = cell.steps_of("streams")
    first = cell.run(steps)[0]
    assert torch.isfinite(first).all()
    raw = cell.steps_of()[0]
    cell.run(raw)
    entered = raw.values[0, 0]  # state 0 of the first step, before it is normalised
    close(steps.norm.means[0], entered.mean(0))
    close(steps.norm.variances[0], entered.var(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("curve", range(4))
def test_curves_are_exact_to_rounding_wherever_they_are_read(curve, dtype):
    points = torch.cat([torch.linspace(-25, 25, 1001), torch.tensor(EXTREME)]).to(dtype)
    units = len(points)
    weights = torch.zeros(1, 5, dtype=dtype)
    weights[0, curve] = 1
    matrix, hidden = torch.zeros(units, 2 * units, dtype=dtype), torch.zeros(1, units, dtype=dtype)
    inputs, pairs = hidden[None].clone(), torch.empty(1, 1, 2, 1, units, dtype=dtype)
    edges = LeavingEdges([0], weights, matrix, inputs, pairs, True, False, Room())
    one = torch.ones(1, dtype=dtype)
    steps = RecurrentSteps([edges], None, one, None, torch.empty(1, 1, 1, units, dtype=dtype))
    output = torch.empty(1, 1, units, dtype=dtype)
    steps.forward(points.repeat(2).view(1, 1, -1), hidden, output)
    exact = points.double().requires_grad_()
    value = SHAPES.get(CURVES[curve], lambda x: x)(exact)
    (slope,) = torch.autograd.grad(value.sum(), exact)
    near = {"rtol": 8 * torch.finfo(dtype).eps, "atol": 2 * torch.finfo(dtype).eps}
    gated = exact.sigmoid() * value
    torch.testing.assert_close(output[0, 0].double(), gated.detach(), **near)
    steps.backward(torch.ones_like(output), hidden, output)
    found = pairs[0, 0, 1, 0].double()
    torch.testing.assert_close(found, (exact.sigmoid() * slope).detach(), **near)


def test_single_precision_is_exact_to_its_rounding():
    wide, narrow = Cell(9, 50, steps=2), Cell(9, 50, steps=2, dtype=torch.float32)
    for norm in (None, "given", "streams"):
        expected = wide.plain(norm)[0]
        found = narrow.run(narrow.steps_of(norm)[0])
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", [None, "streams"])
def test_results_do_not_depend_on_the_number_of_threads(norm):
    cell, before, found = Cell(7, 85, dtype=torch.float32), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            steps, edges = cell.steps_of(norm)
            output = cell.run(steps)
            of_hidden = steps.backward(cell.grad, cell.hidden, output)
            kept = [source for source in edges if source is not None]
            found.append([output, of_hidden, *(t for e in kept for t in (e.pairs, e.products))])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


def test_what_is_done_to_the_matrices_later_does_not_count():
    cell = Cell()
    expected = cell.plain(None)[0]
    steps, _ = cell.steps_of()
    for matrix in cell.matrices:
        matrix.zero_()
    close(cell.run(steps), expected)


def test_what_is_not_a_number_stays_none():
    cell = Cell(masked=False)
    cell.projected[2, 1, 3] = torch.nan
    output = cell.run(cell.steps_of()[0])
    assert not output[:2].isnan().any()
    assert output[2:, 1].isnan().any()
    assert not output[:, [0, 2]].isnan().any()


def test_what_kernels_cannot_read_is_left_to_torch():
    assert readable(torch.zeros(2, 3))
    assert not readable(torch.zeros(2, 3, dtype=torch.bfloat16))
    assert not readable(torch.zeros(2, 3, device="meta"))
    with kernels.disabled():
        assert not readable(torch.zeros(2, 3))
