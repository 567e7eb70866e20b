"""How the two ways through a supernet are compared."""

import copy
from contextlib import nullcontext

import pytest
import torch

from lnas import kernels
from lnas.operations import BatchNorm2d, statistics
from lnas.relaxations import GateSample
from lnas.supernet.batched import edge_batching


def _scramble(net):
    """Give every layer averages of its own, so that no two edges look alike."""
    for layer in net.modules():
        if isinstance(layer, BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2.0)
    return net


def _random_sample(net, seed, per_cell=False, masked=False, edge_weights=False):
    """Draw gates with zeros and negative ones, and a mask that leaves some edges nothing."""
    random = torch.Generator().manual_seed(seed)
    space = net.space
    gates, active, edges = {}, {}, {}
    for name in space.cell_types:
        cells = (net.cell_types_of_cells.count(name),) if per_cell else ()
        shape = (*cells, len(space.edges), len(space.operations))
        value = torch.randn(shape, generator=random)
        value[torch.rand(shape, generator=random) < 0.2] = 0.0
        gates[name] = value.requires_grad_()
        active[name] = torch.rand(shape, generator=random) < 0.5
        active[name][..., 1, :] = False
        edges[name] = torch.randn(shape[:-1], generator=random).requires_grad_()
    return GateSample(gates, active if masked else None, edges if edge_weights else None)


def _run(net, path, sample, images, mode=None):
    """Return output, gradients by name (None included) and buffers after one pass."""
    net = copy.deepcopy(net)
    net.path = path
    images = images.clone().requires_grad_()
    with statistics(net, mode or ("update" if net.training else "running")):
        logits = net(images, sample).logits
    leaves = {"images": images, **dict(net.named_parameters())}
    leaves |= {f"gates.{name}": value for name, value in sample.gates.items()}
    leaves |= {f"edges.{name}": value for name, value in (sample.edges or {}).items()}
    wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    cotangent = torch.linspace(-1, 1, logits.numel()).reshape(logits.shape)
    grads = torch.autograd.grad(
        (logits * cotangent).sum(), list(wanted.values()), allow_unused=True
    )
    return logits.detach(), dict(zip(wanted, grads, strict=True)), dict(net.named_buffers())


def _assert_equal_paths(net, sample, images, mode=None):
    reference = _run(net, "reference", sample, images, mode)
    # Torch's operators, compiled kernels, edges batched as on a GPU.
    for choice in (kernels.disabled(), nullcontext(), edge_batching(True)):
        with choice:
            fused = _run(net, "fused", sample, images, mode)
        for mine, oracle in zip(fused[1].items(), reference[1].items(), strict=True):
            assert (mine[1] is None) == (oracle[1] is None), mine[0]
        torch.testing.assert_close(fused, reference, rtol=1e-9, atol=1e-10)
    return fused


@pytest.fixture
def scramble():
    return _scramble


@pytest.fixture
def random_sample():
    return _random_sample


@pytest.fixture
def run():
    return _run


@pytest.fixture
def assert_equal_paths():
    return _assert_equal_paths
