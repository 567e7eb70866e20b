"""Partial channels and edge normalisation (PC-DARTS) against its formulas, written out."""

import pytest
import torch
from torch.nn import functional

from lnas.derivation import magnitudes
from lnas.errors import InputError
from lnas.operations import statistics
from lnas.relaxations import GateSample, Softmax
from lnas.spaces import DartsSpace
from lnas.supernet import Architecture, ConvolutionalSupernet
from lnas.supernet.partial import join, split

PATHS = ["fused", "reference"]


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)


def naive_cell(cell, far, near, gates, edges):
    """Node j = sum_i edge weight * shuffle([sum_o gate * o(first quarter of i), the rest of i])."""
    space = cell.edges.space
    states = [cell.preprocess0(far), cell.preprocess1(near)]
    for node in range(2, 2 + space.nodes):
        total = 0.0
        for row in space.incoming(node):
            x = states[space.edges[row].source]
            quarter = x.shape[1] // 4
            mixed = 0.0
            for column, name in enumerate(space.operations):
                if name != "none":
                    operation = cell.edges[space.edges[row].name][name]
                    mixed = mixed + gates[row, column] * operation(x[:, :quarter])
            rest = x[:, quarter:]
            if cell.edges.strides[row] == 2:
                rest = functional.max_pool2d(rest, kernel_size=2, stride=2)
            joined = torch.cat([mixed, rest], 1)
            total = total + edges[row] * functional.channel_shuffle(joined, 4)
        states.append(total)
    return torch.cat(states[2:], 1)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("index", [0, 1])
def test_a_cell_is_what_the_formulas_say(path, index):
    net = ConvolutionalSupernet(DartsSpace(nodes=3), channels=8, layers=3, partial_channels=4)
    cell, kind = net.cells[index], net.cell_types_of_cells[index]
    gates, edges = torch.randn(9, 8), torch.randn(9)
    channels = cell.preprocess0.conv.in_channels, cell.preprocess1.conv.in_channels
    far, near = (torch.randn(2, c, 8, 8) for c in channels)
    with statistics(net, "batch"):
        found = cell(far, near, GateSample({kind: gates}, edges={kind: edges}).cell(kind), path)
        expected = naive_cell(cell, far, near, gates, edges)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_channels_are_shuffled_as_torch_shuffles_them(layout):
    x = torch.randn(2, 12, 4, 6).contiguous(memory_format=layout)
    expected = functional.channel_shuffle(x, 3)
    assert torch.equal(join(*split(x, 3), 3), expected)
    joined = join(None, split(x, 3)[1].contiguous(memory_format=layout), 3)
    assert torch.equal(joined[:, 1::3], expected[:, 1::3])
    assert not joined[:, ::3].any()


@pytest.mark.parametrize("path", PATHS)
def test_an_edge_that_runs_none_passes_the_rest_and_a_closed_edge_nothing(path):
    space = DartsSpace(nodes=1)
    net = ConvolutionalSupernet(space, channels=8, layers=3, partial_channels=4)
    net.path = path
    far, near = torch.randn(2, 24, 8, 8), torch.randn(2, 24, 8, 8)
    active = torch.zeros(2, 8, dtype=torch.bool)
    active[0, 0] = True  # none
    gates = GateSample({"normal": torch.ones(2, 8)}, {"normal": active}).cell("normal")
    output = net.cells[0](far, near, gates, path)
    first = net.cells[0].preprocess0(far)
    first[:, :2] = 0
    torch.testing.assert_close(output, functional.channel_shuffle(first, 4))


def test_a_quarter_of_the_channels_has_a_sixteenth_of_the_pointwise_weights():
    net = ConvolutionalSupernet(DartsSpace(), channels=16, layers=8, partial_channels=4)
    count = sum(p.numel() for p in net.cells[0].edges["2_0"].parameters())
    c = 4
    separable = [2 * (c * k * k + c * c) for k in (3, 5)]
    dilated = [c * k * k + c * c for k in (3, 5)]
    assert count == sum(separable + dilated)
    with pytest.raises(InputError, match="partial_channels=3 does not divide channels=16"):
        ConvolutionalSupernet(DartsSpace(), channels=16, partial_channels=3)


def test_edge_weights_are_a_softmax_over_what_enters_a_node():
    architecture = Architecture(DartsSpace(), Softmax(), seed=2, edge_normalization=True)
    assert {"edge_logits.normal", "edge_logits.reduce"} <= set(architecture.state_dict())
    for logits in architecture.edge_logits.values():
        assert logits.shape == (14,)
        assert 2e-4 < logits.std() < 3e-3
        logits.data.normal_()
    sample = architecture.sample()
    for name, logits in architecture.edge_logits.items():
        powers = logits.detach().exp()
        for first, last in ((0, 2), (2, 5), (5, 9), (9, 14)):
            expected = powers[first:last] / powers[first:last].sum()
            torch.testing.assert_close(sample.edges[name][first:last].detach(), expected)
        assert torch.equal(architecture.noise_free().edges[name], sample.edges[name])
        product = architecture.probabilities()[name] * sample.edges[name][:, None]
        torch.testing.assert_close(magnitudes(architecture)[name], product.detach())
    (grad,) = torch.autograd.grad(sample.edges["normal"][2], architecture.edge_logits["normal"])
    assert grad[2:5].all()
    assert grad[:2].tolist() == [0, 0]
    assert not grad[5:].any()


def test_edges_without_an_open_operation_have_no_share():
    architecture = Architecture(DartsSpace(), Softmax(), edge_normalization=True)
    shut = torch.zeros(14, 8, dtype=torch.bool)
    shut[:2] = shut[3] = True
    architecture.edge_logits["normal"].data.normal_()
    architecture.close_all({"normal": shut})
    weights = architecture.edge_weights()["normal"]
    assert weights[[0, 1, 3]].tolist() == [0, 0, 0]
    torch.testing.assert_close(weights[2] + weights[4], torch.tensor(1.0))
    (grad,) = torch.autograd.grad(weights.square().sum(), architecture.edge_logits["normal"])
    assert grad.isfinite().all()
    assert not grad[[0, 1, 3]].any()
    assert architecture.edge_logits["normal"][[0, 1, 3]].tolist() == [0, 0, 0]


def test_the_strongest_edges_win_whatever_their_operations_say():
    architecture = Architecture(DartsSpace(), Softmax(), edge_normalization=True)
    with torch.no_grad():
        architecture.logits["normal"][9:, 4] = torch.tensor([4.0, 3.0, 2.0, 1.0, 0.5])
        architecture.edge_logits["normal"][9:] = torch.tensor([-9.0, -9.0, 0.0, 2.0, 2.0])
    cell = architecture.space.derive(magnitudes(architecture)).cells["normal"]
    assert {source for _, source in cell[3]} == {3, 4}
