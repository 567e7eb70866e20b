import pytest
import torch

from lnas.errors import InputError
from lnas.relaxations import GateSample
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet


def uniform(net):
    shape = len(net.space.edges), len(net.space.operations)
    return {name: torch.full(shape, 0.2) for name in net.space.cell_types}


@pytest.mark.parametrize("path", ["fused", "reference"])
def test_noise_is_a_pure_function_of_the_draw(path):
    net = ConvolutionalSupernet(DartsSpace(edge_operations="s4", nodes=2), channels=4, layers=2)
    net.path = path
    images = torch.randn(2, 3, 8, 8)
    results = []
    for step in (1, 1, 2):
        net.set_draw(0, step)
        results.append(net(images, uniform(net)).logits)
    assert torch.equal(results[0], results[1])
    assert not torch.allclose(results[0], results[2])


def test_reduction_cells_stand_at_one_and_two_thirds():
    net = ConvolutionalSupernet(DartsSpace(nodes=1), channels=4, layers=8)
    kinds = net.cell_types_of_cells
    assert [index for index, kind in enumerate(kinds) if kind == "reduce"] == [2, 5]
    assert net.halvings == 2


@pytest.mark.parametrize("path", ["fused", "reference"])
def test_each_cell_reads_its_own_gates(path):
    net = NasBench201Supernet(NasBench201Space(), channels=4, cells=1)
    net.path = path
    images = torch.randn(2, 3, 8, 8)
    gates = torch.rand(3, 6, 5)
    outputs = [net(images, GateSample({"cell": gates})).logits]
    for cell in range(3):
        changed = gates.clone()
        changed[cell] *= -1
        outputs.append(net(images, GateSample({"cell": changed})).logits)
    for first in range(4):
        for second in range(first):
            assert not torch.allclose(outputs[first], outputs[second])


@pytest.mark.parametrize("path", ["fused", "reference"])
def test_a_network_without_any_operation_returns_the_classifiers_bias(path):
    net = ConvolutionalSupernet(DartsSpace(nodes=2), channels=4, layers=3)
    net.path = path
    closed = {name: torch.zeros(5, 8, dtype=torch.bool) for name in ("normal", "reduce")}
    logits = net(torch.randn(2, 3, 8, 8), GateSample(uniform(net), closed)).logits
    torch.testing.assert_close(logits, net.classifier.bias.expand(2, 10))


def test_unknown_path_is_refused():
    net = NasBench201Supernet(NasBench201Space(), channels=4, cells=1)
    with pytest.raises(InputError, match="fused, reference"):
        net.path = "fast"


def test_supernets_refuse_spaces_and_sizes_that_do_not_fit():
    with pytest.raises(InputError, match="choose DartsSpace"):
        ConvolutionalSupernet(NasBench201Space())
    with pytest.raises(InputError, match="NasBench201Space"):
        NasBench201Supernet(DartsSpace())
    with pytest.raises(InputError, match="at least 1"):
        ConvolutionalSupernet(DartsSpace(), layers=0)
    with pytest.raises(InputError, match="at least 1"):
        NasBench201Supernet(NasBench201Space(), cells=0)
