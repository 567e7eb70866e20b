"""Cells compute what reaches their output, and path dropout spares plain skips only."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lnas import kernels
from lnas.genotype import Genotype
from lnas.networks.cells import DerivedCell, GenotypeEdges
from lnas.operations import statistics

ONE = [("skip_connect", 0)]


def darts(normal, concat):
    return Genotype("darts", {"normal": normal, "reduce": [ONE]}, {"normal": concat, "reduce": [2]})


def test_a_node_without_inputs_is_zero_and_has_the_size_of_the_others():
    genotype = Genotype(
        "darts",
        {"normal": [ONE], "reduce": [[], [("max_pool_3x3", 1)], [("skip_connect", 2)], []]},
    )
    cell = DerivedCell(genotype, "reduce", (6, 6), 4, after_reduction=False).eval()
    output = cell(torch.randn(2, 6, 8, 8), torch.randn(2, 6, 8, 8))
    assert output.shape == (2, 16, 4, 4)
    for first in (0, 8, 12):
        assert torch.all(output[:, first : first + 4] == 0)
    assert torch.any(output[:, 4:8] != 0)


def test_a_cell_without_any_operation_is_zero():
    genotype = Genotype("nasbench201", {"cell": [[], [], []]})
    edges = GenotypeEdges(genotype, "cell", 4)
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(edges([x], x, None)[3], torch.zeros(2, 4, 8, 8))


def test_what_does_not_reach_the_output_is_not_computed():
    genotype = darts(
        [[("sep_conv_3x3", 1)], [("sep_conv_3x3", 2)], [("dil_conv_3x3", 1)]], concat=[4]
    )
    cell = DerivedCell(genotype, "normal", (4, 4), 4, after_reduction=False)
    ran = []
    for name, module in cell.named_modules():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    cell(torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8))
    assert "edges.4_1.dil_conv_3x3" in ran
    assert not any(name.startswith(("edges.2", "edges.3", "preprocess0")) for name in ran)


def test_an_operation_that_stands_twice_on_an_edge_counts_twice():
    genotype = darts([[("sep_conv_3x3", 0), ("sep_conv_3x3", 0)]], concat=[2])
    edges = GenotypeEdges(genotype, "normal", 4).eval()
    assert list(edges["2_0"]) == ["sep_conv_3x3", "sep_conv_3x3_2"]
    x = torch.randn(2, 4, 8, 8)
    first, second = edges["2_0"].children()
    assert_close(edges([x, None], x, None)[2], first(x) + second(x))
    assert not torch.allclose(first(x), second(x))


def test_path_dropout_scales_each_image_of_all_but_plain_skips():
    genotype = darts([[("skip_connect", 0), ("avg_pool_3x3", 1)], [("max_pool_3x3", 2)]], [3])
    edges = GenotypeEdges(genotype, "normal", 4)
    assert edges.paths == 2
    assert isinstance(edges["2_0"]["skip_connect"], nn.Identity)
    a, b = torch.randn(2, 3, 4, 8, 8)
    scales = torch.tensor([[0.0, 1.25, 1.25], [1.25, 0.0, 1.25]])
    average = nn.AvgPool2d(3, 1, 1, count_include_pad=False)(b)
    node = a + average * scales[0].view(3, 1, 1, 1)
    expected = nn.MaxPool2d(3, 1, 1)(node) * scales[1].view(3, 1, 1, 1)
    before = a.clone(), b.clone()
    assert_close(edges([a, b], b, scales)[3], expected)
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])


def test_a_skip_of_stride_two_can_be_dropped():
    genotype = Genotype("darts", {"normal": [ONE], "reduce": [ONE, [("skip_connect", 2)]]})
    edges = GenotypeEdges(genotype, "reduce", 4, halved_inputs=2).eval()
    assert edges.paths == 1
    x = torch.randn(2, 4, 8, 8)
    nodes = edges([x, None], x, torch.tensor([[0.0, 2.0]]))
    assert torch.all(nodes[2][0] == 0)
    assert_close(nodes[2][1], 2 * edges["2_0"]["skip_connect"](x)[1])
    assert torch.equal(nodes[3], nodes[2])


@pytest.mark.skipif(not kernels.available(), reason="no C++ compiler here")
@pytest.mark.parametrize("mode", ["update", "batch"])
def test_compiled_kernels_change_neither_gradients_nor_averages(mode):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    genotype = darts(
        [
            [("sep_conv_3x3", 0), ("dil_conv_5x5", 1)],
            [("sep_conv_5x5", 0), ("sep_conv_3x3", 2)],
            [("dil_conv_3x3", 2), ("sep_conv_7x7", 1), ("max_pool_3x3", 3)],
        ],
        [2, 3, 4],
    )
    cell = DerivedCell(genotype, "normal", (6, 4), 4, after_reduction=False)
    for parameter in cell.parameters():
        if parameter.ndim == 1:  # scales and shifts
            parameter.data.normal_()
    far, near = torch.randn(3, 6, 8, 6), torch.randn(3, 4, 8, 6)
    scales = torch.tensor([0.0, 1.25]).expand(7, 2).repeat(1, 2)[:, :3]
    results, before = [], kernels.calls()
    for choice in (nullcontext, kernels.disabled):
        net = copy.deepcopy(cell)
        with choice(), statistics(net, mode):
            output = net(far, near, scales)
            output.mul(torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        grads = {name: parameter.grad for name, parameter in net.named_parameters()}
        results.append((output.detach(), grads, dict(net.named_buffers())))
        assert kernels.calls() > before, "the kernels did nothing"
    assert_close(results[0], results[1], rtol=1e-9, atol=1e-10)


def test_an_operation_that_somebody_watches_is_called():
    cell = DerivedCell(darts([[("sep_conv_3x3", 0)]], [2]), "normal", (4, 4), 4, False)
    seen = []
    cell.edges["2_0"]["sep_conv_3x3"].register_forward_hook(lambda *_: seen.append(1))
    cell(torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8))
    assert seen == [1]
