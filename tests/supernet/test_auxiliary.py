"""The auxiliary skip (DARTS-): beta * skip beside the operations, never in a derived child."""

import pytest
import torch

from lnas.operations import statistics
from lnas.operations.reduction import FactorizedReduce
from lnas.relaxations import GateSample
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet

PATHS = ["fused", "reference"]
NETS = {
    "darts": lambda **options: ConvolutionalSupernet(DartsSpace(nodes=2), 4, 3, **options),
    "nasbench201": lambda **options: NasBench201Supernet(NasBench201Space(), 4, 1, **options),
}


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)


def pair(name, path):
    """Return a supernet with auxiliary skips and the same without."""
    net, plain = NETS[name](auxiliary_skip=0.5), NETS[name]()
    left = net.load_state_dict(plain.state_dict(), strict=False)
    assert not left.unexpected_keys
    assert all("auxiliary_skip" in key for key in left.missing_keys)
    net.path = plain.path = path
    return net, plain


def uniform(net, value=0.2):
    shape = len(net.space.edges), len(net.space.operations)
    return {kind: torch.full(shape, value) for kind in net.space.cell_types}


def test_an_edge_is_beta_times_its_skip_and_the_gated_operations():
    net = NETS["darts"](auxiliary_skip=0.5)
    for index, halved in ((0, False), (1, True)):
        cell = net.cells[index]
        kind = net.cell_types_of_cells[index]
        far, near = (
            torch.randn(2, module.conv.in_channels, 8, 8)
            for module in (cell.preprocess0, cell.preprocess1)
        )
        only = torch.zeros(5, 8)
        only[0, 2] = 3.0
        gates = net._cell_gates(GateSample({kind: only}), kind, 0, far)
        assert torch.equal(gates.gates, torch.cat([only, torch.full((5, 1), 0.5)], 1))
        with statistics(net, "batch"):
            a, b = cell.preprocess0(far), cell.preprocess1(near)
            skips = [cell.edges[f"2_{source}"]["auxiliary_skip"] for source in (0, 1)]
            assert isinstance(skips[0], FactorizedReduce) == halved
            pooled = cell.edges["2_0"]["avg_pool_3x3"](a)
            expected = 3.0 * pooled + 0.5 * skips[0](a) + 0.5 * skips[1](b)
            for path in PATHS:
                first = cell(far, near, gates, path)[:, : expected.shape[1]]
                torch.testing.assert_close(first, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", NETS)
def test_without_weight_it_is_the_plain_supernet(name, path):
    net, plain = pair(name, path)
    images = torch.randn(2, 3, 8, 8)
    assert not torch.allclose(net(images, uniform(net)).logits, plain(images, uniform(net)).logits)
    net.auxiliary_skip.fill_(0.0)
    found, expected = (one(images, uniform(net)).logits for one in (net, plain))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", NETS)
def test_a_derived_child_has_no_auxiliary_skip(name, path):
    net, plain = pair(name, path)
    child = GateSample.child(net.space.project(uniform(net)))
    images = torch.randn(2, 3, 8, 8)
    ran = []
    for edge in net.cells[0].edges.values():
        edge["auxiliary_skip"].register_forward_hook(lambda *_: ran.append(1))
    found, expected = (one(images, child).logits for one in (net, plain))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    assert not ran


@pytest.mark.parametrize("path", PATHS)
def test_an_edge_without_an_active_operation_has_no_auxiliary_skip_either(path):
    net, plain = pair("darts", path)
    active = {kind: torch.ones(5, 8, dtype=torch.bool) for kind in net.space.cell_types}
    for mask in active.values():
        mask[:] = False
    images = torch.randn(2, 3, 8, 8)
    found, expected = (one(images, GateSample(uniform(net), active)).logits for one in (net, plain))
    torch.testing.assert_close(found, expected)
    active["normal"][0, 0] = True  # none alone: the edge is there, and so is its skip
    active["reduce"][0, 0] = True
    found = net(images, GateSample(uniform(net), active)).logits
    assert not torch.allclose(found, expected)


def test_only_a_supernet_with_auxiliary_skips_has_their_keys():
    net, plain = pair("darts", "fused")
    added = set(net.state_dict()) - set(plain.state_dict())
    assert "auxiliary_skip" in added
    assert "cells.1.edges.2_0.auxiliary_skip.conv1.weight" in added
    assert not any("auxiliary_skip" in key for key in plain.state_dict())
    assert net.annealable == ("auxiliary_skip",)
    assert plain.annealable == ()
