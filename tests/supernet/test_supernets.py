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


def test_the_supernet_of_pr_darts_has_the_released_size_and_shape():
    # Six cells [C, C, 2C, 2C, 4C, 4C] of which the third and fifth reduce; 224 logits are counted.
    space = DartsSpace()
    net = ConvolutionalSupernet(space, channels=16, layers=6, head_norm=True)
    logits = sum(len(space.edges) * len(space.operations) for _ in space.cell_types)
    assert sum(p.numel() for p in net.parameters()) + logits == 1_323_226
    assert logits == 224
    types = net.cell_types_of_cells
    assert [index for index, kind in enumerate(types) if kind == "reduce"] == [2, 4]
    assert net.classifier.in_features == 256
    path = [space.edge_row(f"{node}_{node - 1}") for node in range(2, 6)]
    assert path == [1, 4, 8, 13]
    small = ConvolutionalSupernet(space, channels=2, layers=6, head_norm=True)
    assert small(torch.randn(3, 3, 8, 8), uniform(small)).logits.shape == (3, 10)


def test_the_head_normalises_and_rectifies_before_the_mean():
    net = ConvolutionalSupernet(DartsSpace(nodes=2), channels=4, layers=3, head_norm=True)
    plain = ConvolutionalSupernet(DartsSpace(nodes=2), channels=4, layers=3)
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if not k.startswith("head")})
    plain.classifier = net.classifier = torch.nn.Identity()
    maps = []
    plain.cells[-1].register_forward_hook(lambda cell, inputs, output: maps.append(output))
    images = torch.randn(4, 3, 8, 8)
    plain(images, uniform(plain))
    expected = torch.nn.BatchNorm2d(32)(maps[0]).relu().mean((2, 3))
    torch.testing.assert_close(net(images, uniform(net)).logits, expected, rtol=1e-4, atol=1e-5)


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
