"""Costs are slopes of the loss, and keep the identities of the paper's theorems."""

import itertools

import pytest
import torch
from torch.nn import functional

from lnas.callbacks.wiring_costs import CostSums, answers, gate_costs, last_cell_cost, sampled
from lnas.operations import BatchNorm2d
from lnas.relaxations import CellGates, GateSample
from lnas.search.watching import watched
from lnas.spaces import DartsSpace
from lnas.supernet import ConvolutionalSupernet

PATHS = ["fused", "reference"]
SPACE = DartsSpace(nodes=2)
EXACT = 1e-12  # batch normalisation feels the scale of its input through its eps alone
LABELS = torch.tensor([0, 1, 2, 0])


@pytest.fixture(autouse=True)
def _doubles(_plain_torch):
    torch.set_default_dtype(torch.float64)


@pytest.fixture
def images():
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def network(path, layers=2, bias=False):
    torch.manual_seed(0)
    net = ConvolutionalSupernet(
        SPACE, 4, layers, 3, reductions=False, classifier_bias=bias, stem_multiplier=1
    )
    for layer in net.modules():
        if isinstance(layer, BatchNorm2d):
            layer.eps = EXACT
    net.path = path
    return net


def soft_gates():
    draw = torch.Generator().manual_seed(2)
    return {name: torch.randn(5, 8, generator=draw).softmax(-1) for name in SPACE.cell_types}


def pass_through(net, images, gates):
    """Return costs, loss and scores of one pass in which the gates are constants."""
    found = {}
    sample = GateSample(gates)
    cells = {"normal": len(net.cells), "reduce": 0}
    scores = net(images, watched(sample, cells, found)).logits
    loss = functional.cross_entropy(scores, LABELS)
    loss.backward()
    return gate_costs(sample, found), loss.detach(), scores.detach()


@pytest.mark.parametrize("path", PATHS)
def test_a_cost_is_the_slope_of_the_loss_as_its_gate_grows(images, path):
    net, gates = network(path), soft_gates()
    costs, _, _ = pass_through(net, images, gates)
    assert set(costs) == {"normal"}
    assert costs["normal"].shape == (2, 5, 8)
    assert not costs["normal"][..., SPACE.operations.index("none")].any()

    def loss_with(cell, edge, operation, growth):
        each = gates["normal"].expand(2, -1, -1).clone()
        each[cell, edge, operation] *= 1 + growth
        with torch.no_grad():
            return functional.cross_entropy(net(images, {"normal": each}).logits, LABELS)

    for cell, edge, operation in itertools.product(range(2), (0, 4), (1, 3, 4)):
        step = 1e-6
        up, down = (loss_with(cell, edge, operation, sign * step) for sign in (1, -1))
        found = float(costs["normal"][cell, edge, operation])
        assert found == pytest.approx(float(up - down) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("path", PATHS)
def test_costs_of_the_last_cell_are_loss_minus_entropy(images, path):
    inner = torch.tensor([edge.source >= SPACE.inputs for edge in SPACE.edges])
    skip = SPACE.operations.index("skip_connect")
    for bias in (False, True):
        costs, loss, scores = pass_through(network(path, bias=bias), images, soft_gates())
        last = costs["normal"][-1]
        total = float(last_cell_cost(SPACE, last))
        margin = answers(scores, LABELS).sum(0)
        assert float(margin[0]) == pytest.approx(float(loss))
        close = total == pytest.approx(float(margin[0] - margin[1]), abs=1e-9)
        assert close != bias  # a bias answers for a part of the scores
        assert abs(float(last[inner, skip].sum())) > 1e-6


@pytest.mark.parametrize("path", PATHS)
def test_a_path_through_a_normalised_convolution_carries_no_cost(path):
    draw = torch.Generator().manual_seed(3)
    states = [torch.randn(5, 4, 6, 6, generator=draw) for _ in range(2)]
    readout = torch.randn(3, 4, generator=draw)
    for operation in ("sep_conv_3x3", "max_pool_3x3", "skip_connect"):
        gates = torch.zeros(5, 8)
        gates[SPACE.edge_row("2_0"), SPACE.operations.index("dil_conv_3x3")] = 1
        gates[SPACE.edge_row("3_2"), SPACE.operations.index(operation)] = 1
        active = gates.bool()
        gates.requires_grad_()
        edges = network(path, layers=1).cells[0].edges
        end = edges(states, CellGates(gates, active), path)[3]  # the second node alone is read
        loss = functional.cross_entropy(end.mean((2, 3)) @ readout.T, torch.tensor([0, 1, 2, 0, 1]))
        (slopes,) = torch.autograd.grad(loss, gates)
        costs = (gates.detach() * slopes).sum(-1)
        before, behind = costs[SPACE.edge_row("2_0")], costs[SPACE.edge_row("3_2")]
        assert abs(float(behind)) > 1e-3
        assert float(before) == pytest.approx(
            float(behind) if operation == "skip_connect" else 0.0, abs=1e-10
        )


def test_loss_minus_entropy_is_what_the_scores_cost():
    draw = torch.Generator().manual_seed(4)
    scores = (3 * torch.randn(16, 10, generator=draw)).requires_grad_()
    targets = torch.randint(0, 10, (16,), generator=draw)
    targets[:5] = scores[:5].detach().argmax(-1)
    (slopes,) = torch.autograd.grad(functional.cross_entropy(scores, targets), scores)
    found = answers(scores.detach(), targets)
    loss, entropy, share = found.sum(0)
    torch.testing.assert_close(loss - entropy, (scores.detach() * slopes).sum())
    assert float(share) == pytest.approx(1.0)
    right = scores.argmax(-1) == targets
    assert 0 < int(right.sum()) < 16
    distribution = torch.distributions.Categorical(logits=scores.detach())
    for group, row in ((right, found[0]), (~right, found[1])):
        losses = -distribution.log_prob(targets)[group].sum()
        expected = [losses, distribution.entropy()[group].sum()]
        torch.testing.assert_close(row, torch.stack([*expected, group.sum().double()]) / 16)


def test_sums_have_the_mean_and_variance_of_the_passes_that_count():
    draw = torch.Generator().manual_seed(5)
    costs = torch.randn(7, 5, 8, generator=draw)
    counted = torch.rand(7, 5, 8, generator=draw) < 0.5
    counted[:, 2, 3] = False
    sums = CostSums()
    for cost, ran in zip(costs, counted, strict=True):
        sums.add({"normal": cost * ran}, {"normal": ran}, last=cost.sum())
    mean, variance, count = sums.costs("normal")
    for row, column in itertools.product(range(5), range(8)):
        seen = costs[counted[:, row, column], row, column]
        assert int(count[row, column]) == len(seen)
        if len(seen):
            torch.testing.assert_close(mean[row, column], seen.mean())
            torch.testing.assert_close(variance[row, column], seen.var(unbiased=False))
    assert (mean[2, 3], variance[2, 3]) == (0, 0)
    torch.testing.assert_close(sums.mean("last"), costs.sum((1, 2)).mean())


def test_an_operation_takes_part_where_some_cell_has_a_gate_for_it():
    gates = torch.tensor([[[0.0, 1.0]], [[0.0, 0.0]]])
    assert sampled(gates).tolist() == [[False, True]]
    assert sampled(gates[1]).tolist() == [[False, False]]
