"""The table of costs and its penalties against the released ones and their closed forms."""

from itertools import pairwise

import pytest
import torch

from lnas.costs import MEASURES, CostTable, cost_table
from lnas.errors import InputError
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet
from lnas.tasks import ImageExamples

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
TYPES = ("normal", "reduce")
OPERATIONS = DartsSpace().operations


@pytest.fixture(scope="module")
def released():
    """The table of the published search network on 32x32 images."""
    return cost_table(ConvolutionalSupernet(DartsSpace()), images(32))


def images(side):
    return ImageExamples(10, (3, side, side))


def one_operation(name):
    gates = torch.zeros(14, 8, dtype=torch.float64)
    gates[:, OPERATIONS.index(name)] = 1
    return dict.fromkeys(TYPES, gates)


def total(table, gates, form):
    return sum(each.sum() for each in table.penalties(gates, form).values())


def test_every_cell_costs_what_the_released_code_counts(golden, released):
    stored = golden("snas_cost")
    reductions = stored.setting["reduction_cells"]
    cells = {"normal": [i for i in range(8) if i not in reductions], "reduce": reductions}
    for index, key in enumerate(["size", "flops", "mac"]):
        for name in TYPES:
            expected = stored.data[f"cost_{key}"][cells[name]]
            assert torch.equal(released.costs[name][index], expected)


@pytest.mark.parametrize("form", ["linear", "log"])
def test_penalty_of_sampled_gates_and_its_gradient_equal_the_released_ones(golden, released, form):
    stored = golden("snas_cost").data
    gates = {name: stored[f"gate_{name}"].clone().requires_grad_() for name in TYPES}
    each = released.penalties(gates, form)
    for name, cells in zip(TYPES, (6, 2), strict=True):
        expected = stored[f"sampled_penalty_sum_{form}_{name}"]
        torch.testing.assert_close(each[name].sum() * cells, expected, **CLOSE)
    penalty = sum(part.sum() for part in each.values())
    torch.testing.assert_close(penalty, stored[f"sampled_penalty_{form}"], **CLOSE)
    found = torch.autograd.grad(penalty, list(gates.values()))
    for name, gradient in zip(TYPES, found, strict=True):
        expected = stored[f"sampled_penalty_{form}_grad_gate_{name}"]
        torch.testing.assert_close(gradient, expected, **CLOSE)


@pytest.mark.parametrize("form", ["linear", "log"])
def test_penalty_of_probabilities_and_its_gradient_equal_the_released_ones(golden, released, form):
    stored = golden("snas_cost").data
    logits = [stored[f"log_alpha_{name}"].clone().requires_grad_() for name in TYPES]
    gates = {name: values.softmax(-1) for name, values in zip(TYPES, logits, strict=True)}
    penalty = total(released, gates, form)
    torch.testing.assert_close(penalty, stored[f"expected_penalty_{form}"], **CLOSE)
    for name, gradient in zip(TYPES, torch.autograd.grad(penalty, logits), strict=True):
        expected = stored[f"expected_penalty_{form}_grad_log_alpha_{name}"]
        torch.testing.assert_close(gradient, expected, **CLOSE)


@pytest.mark.parametrize(
    ("operation", "log", "linear"),
    [
        ("none", 0.0, 0.0),
        ("skip_connect", 146.7270, 21296.22),
        ("sep_conv_5x5", 311.3101, 167903.12),
        (None, 284.8496, 60052.16),  # all gates 1/8
    ],
)
def test_penalties_of_uniform_networks_are_the_published_facts(released, operation, log, linear):
    uniform = dict.fromkeys(TYPES, torch.full((14, 8), 0.125, dtype=torch.float64))
    gates = uniform if operation is None else one_operation(operation)
    assert total(released, gates, "log").item() == pytest.approx(log, abs=5e-5)
    assert total(released, gates, "linear").item() == pytest.approx(linear, abs=5e-3)


@pytest.mark.parametrize("form", ["linear", "log"])
def test_operations_of_stride_one_are_ordered_by_their_penalty(released, form):
    order = ["none", "skip_connect", "max_pool_3x3", "dil_conv_3x3", "dil_conv_5x5"]
    order += ["sep_conv_3x3", "sep_conv_5x5"]
    penalties = [released.penalties(one_operation(name), form)["normal"] for name in order]
    for cheaper, dearer in pairwise(penalties):
        assert (cheaper < dearer).all()


def test_a_cost_below_one_counts_nothing_and_gets_no_gradient(released):
    logits = torch.full((14, 8), -50.0, dtype=torch.float64)
    logits[:, OPERATIONS.index("none")] = 0
    logits.requires_grad_()
    penalty = total(released, dict.fromkeys(TYPES, logits.softmax(-1)), "log")
    (gradient,) = torch.autograd.grad(penalty, logits)
    assert penalty.item() == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("form", ["linear", "log"])
def test_twice_as_many_cells_of_a_kind_have_the_same_penalty(released, form):
    doubled = CostTable({name: c.repeat(1, 2, 1, 1) for name, c in released.costs.items()})
    gates = one_operation("dil_conv_3x3")
    torch.testing.assert_close(total(doubled, gates, form), total(released, gates, form))


def test_gates_of_each_cell_cost_what_the_cells_cost_alone(released):
    draw = torch.Generator().manual_seed(0)
    gates = {
        name: torch.rand(cells, 14, 8, generator=draw, dtype=torch.float64)
        for name, cells in zip(TYPES, (6, 2), strict=True)
    }
    found = released.expected(gates)
    for name, values in gates.items():
        for cell, own in enumerate(values):
            for index in range(len(MEASURES)):
                alone = sum((own * released.costs[name][index, cell])[edge] for edge in range(14))
                torch.testing.assert_close(found[name][index, cell].sum(), alone.sum())
    everything = sum(costs.sum((1, 2)) for costs in found.values())
    torch.testing.assert_close(released.total(gates), everything)


def test_a_nasbench201_network_counts_each_stage_at_its_size():
    space = NasBench201Space()
    table = cost_table(NasBench201Supernet(space, channels=4, cells=2), images(16))
    parameters, computed, access = table.costs["cell"].unbind(0)
    column = space.operations.index("nor_conv_3x3")
    for stage, (channels, side) in enumerate([(4, 16), (8, 8), (16, 4)]):
        for cell in (2 * stage, 2 * stage + 1):
            size = 9 * channels**2
            assert parameters[cell, :, column].tolist() == [size] * 6
            assert computed[cell, :, column].tolist() == [size * side**2] * 6
            assert access[cell, :, column].tolist() == [2 * channels * side**2 + size] * 6
    assert not table.costs["cell"][..., space.operations.index("none")].any()


def test_what_an_edge_does_not_offer_costs_nothing():
    space = DartsSpace(nodes=2, edge_operations={"normal": {"2_0": ["none", "sep_conv_3x3"]}})
    table = cost_table(ConvolutionalSupernet(space, 4, 3), images(8))
    costs = table.costs["normal"]
    assert costs[0, 0, 0].nonzero().flatten().tolist() == [OPERATIONS.index("sep_conv_3x3")]
    assert len(costs[0, 0, 1].nonzero()) == 4


def test_partial_channels_and_auxiliary_skips_are_no_candidates():
    space = DartsSpace(nodes=2)
    options = {"partial_channels": 2, "auxiliary_skip": 1.0}
    found = cost_table(ConvolutionalSupernet(space, 8, 3, **options), images(8))
    alone = cost_table(ConvolutionalSupernet(space, 4, 3), images(8))
    for name in TYPES:
        assert torch.equal(found.costs[name], alone.costs[name])


def test_counting_leaves_the_supernet_as_it_was():
    supernet = ConvolutionalSupernet(DartsSpace(nodes=2), 4, 3)
    supernet.cells[0].eval()
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    modes = [module.training for module in supernet.modules()]
    cost_table(supernet, images(8))
    assert supernet.path == "fused"
    assert [module.training for module in supernet.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in supernet.state_dict().items())
    assert not any(module._forward_hooks for module in supernet.modules())


def test_images_that_cannot_be_halved_are_refused():
    with pytest.raises(InputError, match="cannot be halved 2 times"):
        cost_table(ConvolutionalSupernet(DartsSpace(nodes=2), 4, 3), images(6))


def test_options_of_a_supernet_leave_its_operations_their_costs(released):
    options = {"auxiliary_skip": 1.0, "drop_path": 0.5, "skip_dropout": 0.5, "node_norm": True}
    table = cost_table(ConvolutionalSupernet(DartsSpace(), **options), images(32))
    partial = cost_table(ConvolutionalSupernet(DartsSpace(), 64, partial_channels=4), images(32))
    for name in TYPES:
        assert torch.equal(table.costs[name], released.costs[name])
        # A quarter of 64 channels is what 16 are.
        assert torch.equal(partial.costs[name], released.costs[name])
