"""Normalised nodes (CRB of DARTS-PRIME): the released numbers, empty nodes, statistics."""

import copy

import pytest
import torch
from torch.nn import functional

from lnas.callbacks import Proximity
from lnas.operations import BatchNorm2d, statistics
from lnas.relaxations import ClippedReLU, GateSample
from lnas.search import SearchStep
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import Architecture, ConvolutionalSupernet, NasBench201Supernet

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
PATHS = ["fused", "reference"]


@pytest.fixture
def released(golden):
    torch.set_default_dtype(torch.float64)
    case = golden("prime_crb_supernet")
    setting = case.setting
    space = DartsSpace(operations=setting["operations"])
    net = ConvolutionalSupernet(
        space, setting["channels"], setting["layers"], setting["classes"], node_norm=True
    )
    missing = net.load_state_dict(case.part("param/"), strict=False)
    assert not missing.unexpected_keys
    assert all("running" in name for name in missing.missing_keys)
    architecture = Architecture(space, ClippedReLU()).double()
    for kind in space.cell_types:
        architecture.logits[kind].data.copy_(case.data[f"alpha_{kind}"])
        for row, column in (case.data[f"mask_{kind}"] == 0).nonzero().tolist():
            architecture.close(kind, row, column)
    return net, architecture, case


@pytest.mark.parametrize("path", PATHS)
def test_clipped_gates_on_normalised_nodes_compute_what_was_released(released, path):
    net, architecture, case = released
    net.path = path
    module = type("Module", (), {"architecture": architecture, "space": net.space})()
    step = SearchStep(0, 0, float(case.data["progress"]))
    penalty = Proximity(case.setting["proximity_weight"]).architecture_loss(module, step)
    logits = net(case.data["input"], architecture.sample()).logits
    loss = functional.cross_entropy(logits, case.data["labels"])
    torch.testing.assert_close(logits, case.data["logits"], **CLOSE)
    torch.testing.assert_close(loss, case.data["loss"], **CLOSE)
    torch.testing.assert_close(loss + penalty, case.data["loss_with_proximity"], **CLOSE)
    kinds = net.space.cell_types
    alphas = [architecture.logits[kind] for kind in kinds]
    weights = list(net.parameters())
    found = torch.autograd.grad(loss, alphas + weights, retain_graph=True, allow_unused=True)
    for kind, grad in zip(kinds, found, strict=False):
        torch.testing.assert_close(grad, case.data[f"grad_alpha_{kind}"], **CLOSE)
    trace = sum(grad.square().sum() for grad in found[2:] if grad is not None)
    torch.testing.assert_close(trace, case.data["fisher_trace"], **CLOSE)
    for kind, grad in zip(kinds, torch.autograd.grad(loss + penalty, alphas), strict=True):
        torch.testing.assert_close(grad, case.data[f"total_grad_alpha_{kind}"], **CLOSE)


NETS = {
    "darts": lambda: ConvolutionalSupernet(DartsSpace(nodes=2), 4, 3, node_norm=True),
    "nasbench201": lambda: NasBench201Supernet(NasBench201Space(), 4, cells=1, node_norm=True),
}


def opened(net, *closed):
    """Return gates of 0.3 whose edges into the nodes `closed` are not active."""
    space = net.space
    shape = len(space.edges), len(space.operations)
    active = torch.ones(shape, dtype=torch.bool)
    for node in closed:
        active[space.incoming(node)] = False
    gates = {kind: torch.full(shape, 0.3) for kind in space.cell_types}
    return GateSample(gates, {kind: active for kind in space.cell_types})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", NETS)
def test_a_node_without_an_operation_is_zero_and_moves_no_average(name, path):
    torch.manual_seed(0)
    net = NETS[name]()
    net.path = path
    first = net.space.inputs
    norm = net.cells[0].node_norms[str(first)]
    norm.running_mean.fill_(1.0)
    states = {}
    for cell in net.cells:
        if hasattr(cell, "node_norms"):
            for node, layer in cell.node_norms.items():
                layer.register_forward_hook(lambda _, x, y, node=node: states.update({node: y}))
    for mode in ("update", "running"):
        states.clear()
        with statistics(net, mode):
            loss = net(torch.randn(2, 3, 8, 8), opened(net, first)).logits.square().sum()
        loss.backward()
        assert str(first) not in states
        assert str(first + 1) in states
        assert torch.equal(norm.running_mean, torch.ones(len(norm.running_mean)))
        assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    everything = opened(net, *range(first, first + net.space.nodes))
    assert net(torch.randn(2, 3, 8, 8), everything).logits.isfinite().all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", NETS)
def test_each_node_has_the_batchs_moments_zero_and_one(name, path):
    net = NETS[name]()
    net.path = path
    seen = []
    for module in net.modules():
        if hasattr(module, "node_norms"):
            for layer in module.node_norms.values():
                layer.register_forward_hook(lambda _, x, y: seen.append(y))
    net(torch.randn(8, 3, 8, 8), opened(net))
    assert len(seen) == net.space.nodes * len(net.cell_types_of_cells)
    for state in seen:
        torch.testing.assert_close(
            state.mean((0, 2, 3)), torch.zeros(state.shape[1]), atol=1e-5, rtol=0
        )
        assert (state.var((0, 2, 3), unbiased=False) - 1).abs().max() < 1e-2


def test_normalised_nodes_add_buffers_and_no_parameter():
    plain, normed = (
        ConvolutionalSupernet(DartsSpace()),
        ConvolutionalSupernet(DartsSpace(), node_norm=True),
    )
    count = [sum(p.numel() for p in net.parameters()) for net in (plain, normed)]
    assert count == [1_930_618, 1_930_618]  # fact R15
    added = set(normed.state_dict()) - set(plain.state_dict())
    assert "cells.0.node_norms.2.running_mean" in added
    assert len(added) == 8 * 4 * 2
    assert all(".node_norms." in key for key in added)
    copy.deepcopy(plain).load_state_dict(plain.state_dict())
    assert isinstance(normed.cells[0].node_norms["2"], BatchNorm2d)
