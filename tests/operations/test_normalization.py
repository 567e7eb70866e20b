"""The oracle is torch's own BatchNorm2d."""

import pytest
import torch
from torch import nn

from lnas.errors import InputError
from lnas.operations import BatchNorm2d, plain_averages, statistics


def pair(affine=True):
    ours, theirs = BatchNorm2d(4, affine).double(), nn.BatchNorm2d(4, affine=affine).double()
    state = {
        name: torch.rand_like(value) + 0.5
        for name, value in theirs.state_dict().items()
        if name != "num_batches_tracked"
    }
    for layer in (ours, theirs):
        layer.load_state_dict(state, strict=False)
    return ours, theirs


def averages(layer):
    return torch.stack([layer.running_mean, layer.running_var]).clone()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_without_a_mode_it_is_torchs_layer(affine, training):
    ours, theirs = pair(affine)
    x = torch.randn(3, 4, 5, 6, dtype=torch.float64)
    ours.train(training), theirs.train(training)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(averages(ours), averages(theirs))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("mode", "uses_batch", "moves"),
    [("update", True, True), ("batch", True, False), ("running", False, False)],
)
def test_the_mode_decides_not_training(mode, uses_batch, moves, training):
    ours, theirs = pair()
    net = nn.Sequential(nn.Identity(), ours).train(training)
    x = torch.randn(3, 4, 5, 6, dtype=torch.float64)
    before = averages(ours)
    with statistics(net, mode):
        y = net(x)
    theirs.train(uses_batch)
    torch.testing.assert_close(y, theirs(x))
    torch.testing.assert_close(averages(ours), averages(theirs) if moves else before)


def test_plain_averages_are_means_over_the_passes_and_then_exponential_again():
    net = nn.Sequential(BatchNorm2d(4, affine=False).double())
    net[0].running_mean.fill_(1e6)  # what was there before does not count
    batches = [scale * torch.randn(3, 4, 6, 6, dtype=torch.float64) for scale in range(1, 6)]
    with plain_averages(net):
        for batch in batches:
            with statistics(net, "update"):
                net(batch)
            with statistics(net, "batch"):
                net(100 * batch)
    means = torch.stack([batch.mean((0, 2, 3)) for batch in batches])
    variances = torch.stack([batch.var((0, 2, 3)) for batch in batches])
    expected = torch.stack([means.mean(0), variances.mean(0)])
    torch.testing.assert_close(averages(net[0]), expected)
    net(batches[0])
    expected = 0.9 * expected + 0.1 * torch.stack([means[0], variances[0]])
    torch.testing.assert_close(averages(net[0]), expected)


def test_modes_nest_and_are_restored_after_an_error():
    net = nn.Sequential(BatchNorm2d(2))
    with statistics(net, "batch"):
        with pytest.raises(AttributeError), statistics(net, "running"):
            net.no_such_thing()
        assert net[0].mode == "batch"
    assert net[0].mode == "update"
    with pytest.raises(InputError, match="update, batch, running"), statistics(net, "frozen"):
        pass


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("mode", ["update", "running"])
def test_the_gate_multiplies_the_output_and_gets_its_gradient(affine, mode):
    ours, theirs = pair(affine)
    x = torch.randn(3, 4, 5, 6, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(3, 4, 5, 6, dtype=torch.float64)
    gate = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
    x.requires_grad_()
    with statistics(ours, mode):
        fused = ours(x, gate.expand(4).contiguous())
    found = torch.autograd.grad((fused * weight).sum(), [gate, x])
    theirs.train(mode == "update")
    plain = gate * theirs(x)
    expected = torch.autograd.grad((plain * weight).sum(), [gate, x])
    torch.testing.assert_close(fused, plain)
    torch.testing.assert_close(found, expected)


def test_state_dicts_of_torchs_layer_load_strictly():
    net, theirs = nn.Sequential(BatchNorm2d(3)), nn.Sequential(nn.BatchNorm2d(3))
    net.load_state_dict(theirs.state_dict())
    net.load_state_dict(dict(net.state_dict()))  # plain: without torch's version number
    assert set(net.state_dict()) == set(theirs.state_dict()) - {"0.num_batches_tracked"}
