"""Which terms are handed to the compiled kernels."""

import pytest
import torch

from lnas import kernels
from lnas.operations import statistics
from lnas.spaces import NasBench201Space
from lnas.supernet import NasBench201Supernet
from lnas.supernet.compiled_edges import CompiledEdges
from lnas.supernet.plan import plan_of

pytestmark = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler here")


def known(net, active=None):
    edges, like = net.cells[0].edges, torch.zeros(1, 4, 8, 8)
    terms = plan_of(edges, active)[0]
    find = CompiledEdges(like, 4).known
    return {(t.target, t.name) for t in find(terms, lambda t: edges.operations(t.row)[t.name])}


def test_all_terms_of_a_state_are_known_in_the_passes_of_a_search():
    net = NasBench201Supernet(NasBench201Space(), channels=4, cells=1)
    names = ("skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    assert known(net) == {(target, name) for target in (1, 2, 3) for name in names}
    with statistics(net, "running"):
        assert not known(net)
    with kernels.disabled():
        assert not known(net)


def test_skips_and_averages_without_a_convolution_are_left_to_torch():
    net = NasBench201Supernet(NasBench201Space(), channels=4, cells=1)
    active = tuple((True, True, False, False, True) for _ in range(6))
    assert not known(net, active)


def test_what_torch_compiles_is_left_to_torch(monkeypatch):
    net = NasBench201Supernet(NasBench201Space(), channels=4, cells=1)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not known(net)


def test_of_two_skips_of_an_edge_one_is_handed_over():
    options = {"auxiliary_skip": 0.5}
    net = NasBench201Supernet(NasBench201Space(), channels=4, cells=1, **options)
    found = known(net)
    for target in (1, 2, 3):
        skips = {name for node, name in found if node == target and "skip" in name}
        assert len(skips) == 1, target
