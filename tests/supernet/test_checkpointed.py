"""Cells that are computed again for their gradients change nothing but the memory."""

import copy

import pytest
import torch
from torch.func import functional_call

from lnas.operations import statistics
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet
from lnas.supernet.batched import edge_batching
from lnas.supernet.checkpointed import checkpointed

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
DROPS = {"drop_path": 0.3, "skip_dropout": 0.3, "auxiliary_skip": 1.0}


def darts(space=None, **options):
    return ConvolutionalSupernet(space or DartsSpace(nodes=2), 4, 3, 4, **options)


NETS = {
    "darts": darts,
    "drops": lambda: darts(**DROPS),
    "partial": lambda: darts(partial_channels=2, node_norm=True),
    "noise": lambda: darts(DartsSpace(edge_operations="s4")),
    "nasbench201": lambda: NasBench201Supernet(NasBench201Space(), channels=4, cells=1),
}


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)


@pytest.fixture
def pair(scramble):
    """A supernet twice, the second time checkpointed."""

    def made(name):
        net = scramble(NETS[name]())
        net.set_draw(0, "drops")
        second = copy.deepcopy(net)
        second.cell_call = checkpointed
        return net, second

    return made


def step(net, sample, images, mode):
    """Return outputs, gradients, running averages and random numbers; what comes later differs."""
    torch.manual_seed(7)
    with statistics(net, mode):
        logits = net(images, sample).logits
    net.set_draw(1, "something else", dropout=False)  # what comes between forward and backward
    leaves = {**dict(net.named_parameters()), **sample.gates}
    wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    loss = (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum()
    grads = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    assert all(layer.momentum != 0 for layer in net.modules() if hasattr(layer, "momentum"))
    averages = {name: value.clone() for name, value in net.named_buffers()}
    return logits, dict(zip(wanted, grads, strict=True)), averages, torch.rand(3)


@pytest.mark.parametrize("path", ["fused", "reference"])
@pytest.mark.parametrize("mode", ["update", "batch", "running"])
@pytest.mark.parametrize("name", NETS)
def test_gradients_averages_and_random_numbers_are_the_same(pair, name, mode, path, random_sample):
    net, second = pair(name)
    net.path = second.path = path
    sample, images = random_sample(net, 1, masked=name == "darts"), torch.randn(3, 3, 8, 8)
    expected, found = (step(one, sample, images, mode) for one in (net, second))
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_they_are_the_same_where_edges_are_batched(pair, name, random_sample):
    net, second = pair(name)
    sample, images = random_sample(net, 1), torch.randn(3, 3, 8, 8)
    with edge_batching(True):
        expected, found = (step(one, sample, images, "update") for one in (net, second))
    torch.testing.assert_close(found, expected, **CLOSE)


def test_steps_of_the_architecture_keep_their_weights_frozen(pair, random_sample):
    net, second = pair("darts")
    sample, images = random_sample(net, 1), torch.randn(3, 3, 8, 8)
    for one in (net, second):
        one.requires_grad_(False)
    expected, found = (step(one, sample, images, "batch") for one in (net, second))
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("path", ["fused", "reference"])
def test_weights_of_a_virtual_step_are_still_there_in_the_backward_pass(pair, path, random_sample):
    net, second = pair("darts")
    sample, images = random_sample(net, 1), torch.randn(3, 3, 8, 8)
    moved = {n: (w.detach() * 1.5).requires_grad_() for n, w in net.named_parameters()}
    grads = []
    for one in (net, second):
        one.path = path
        with statistics(one, "batch"):
            logits = functional_call(one, moved, (images, sample)).logits
        wanted = [*moved.values(), *sample.gates.values()]
        grads.append(torch.autograd.grad(logits.square().sum(), wanted, allow_unused=True))
    torch.testing.assert_close(*grads, **CLOSE)


def test_there_are_second_derivatives_on_the_reference_path(pair, random_sample):
    net, second = pair("nasbench201")
    sample, images = random_sample(net, 1), torch.randn(3, 3, 8, 8)
    (gates,), results = sample.gates.values(), []
    for one in (net, second):
        one.path = "reference"
        with statistics(one, "batch"):
            loss = one(images, sample).logits.square().sum()
        weights = list(one.parameters())
        grads = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
        along = sum((g * w.detach()).sum() for g, w in zip(grads, weights, strict=True))
        results.append(torch.autograd.grad(along, gates))
    torch.testing.assert_close(*results, **CLOSE)


@pytest.mark.parametrize("path", ["fused", "reference"])
def test_less_is_kept_for_the_backward_pass(pair, path, random_sample):
    kept = []
    for one in pair("darts"):
        one.path, seen = path, {}

        def pack(tensor, seen=seen):
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            one(torch.randn(3, 3, 16, 16), random_sample(one, 1))
        kept.append(sum(seen.values()))
    assert kept[1] < 0.5 * kept[0]


def test_a_copy_is_checkpointed_by_itself_and_has_the_same_names(pair, random_sample):
    _, net = pair("darts")
    other = copy.deepcopy(net)
    assert list(other.state_dict()) == list(darts().state_dict())
    for parameter in other.parameters():
        parameter.data.mul_(1.5)
    sample, images = random_sample(net, 1), torch.randn(3, 3, 8, 8)
    found = step(other, sample, images, "batch")
    plain = darts()
    plain.load_state_dict(other.state_dict())
    torch.testing.assert_close(found[:2], step(plain, sample, images, "batch")[:2], **CLOSE)
