"""Path dropout is a pure function of the draw; wrong genotypes and sizes are bad input."""

import copy

import pytest
import torch

from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.networks import (
    CifarNetwork,
    NasBench201Network,
    RecurrentNetwork,
    build,
    unused_parameters,
)
from lnas.tasks import ImageExamples

NB201 = Genotype.from_text(
    "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|nor_conv_3x3~0|none~1|avg_pool_3x3~2|"
)


def small(published, **options):
    return CifarNetwork(published.v2, **{"channels": 4, "layers": 3, **options})


def test_equal_draws_drop_equal_paths_and_other_draws_others(published):
    network = small(published)
    network.drop_path = 0.3
    images = torch.randn(4, 3, 16, 16)
    outputs = []
    for parts in [(0, "path", 0, 5), (0, "path", 0, 5), (0, "path", 1, 5), (0, "path", 0, 6)]:
        network.set_draw(*parts)
        torch.rand(7)  # the global generator must not matter
        outputs.append(network(images).logits)
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.allclose(outputs[0], outputs[2])
    assert not torch.allclose(outputs[0], outputs[3])


def test_dropped_share_is_the_rate_and_the_mean_factor_is_one(published):
    network = small(published)
    network.drop_path = 0.2
    network.set_draw(1, 2)
    _, scales = network._prepare(torch.empty(5000, 3, 4, 4), 20)
    assert scales.shape == (20, 5000)
    assert torch.equal(scales.unique(), torch.tensor([0.0, 1 / 0.8]))
    assert (scales == 0).float().mean() == pytest.approx(0.2, abs=0.005)
    assert scales.mean() == pytest.approx(1.0, abs=0.007)


@pytest.mark.parametrize("cell", ["cifar", "nasbench201"])
def test_paths_are_dropped_in_training_only(published, cell):
    network = small(published) if cell == "cifar" else NasBench201Network(NB201, 4, 1)
    images = torch.randn(4, 3, 16, 16)
    network.set_draw(0)
    trained = network(images).logits
    plain = network.eval()(images).logits
    network.drop_path = 0.5
    assert torch.equal(network(images).logits, plain)
    assert not torch.allclose(network.train()(images).logits, trained)


def test_dropping_paths_without_a_draw_is_bad_input(published):
    network = small(published)
    network.drop_path = 0.2
    with pytest.raises(InputError, match="set_draw"):
        network(torch.randn(2, 3, 16, 16))
    with pytest.raises(InputError, match=r"drop_path is 1\.0"):
        network.drop_path = 1.0


def test_noise_in_a_network_repeats_with_its_draw():
    noise = [[("noise", 0)], [("skip_connect", 2)]]
    network = CifarNetwork(Genotype("darts", {"normal": noise, "reduce": noise}), 4, 3)
    images = torch.randn(2, 3, 16, 16)
    outputs = []
    for step in (1, 1, 2):
        network.set_draw(0, step)
        outputs.append(network(images).logits)
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.allclose(outputs[0], outputs[2])
    assert torch.equal(network.eval()(images).logits, network(images).logits)


def test_auxiliary_head_runs_in_training_only(published):
    network = small(published, auxiliary=True)
    images = torch.randn(2, 3, 32, 32)
    assert network(images).auxiliary.shape == (2, 10)
    assert network.eval()(images).auxiliary is None


def test_auxiliary_head_takes_larger_images_and_refuses_smaller_ones(published):
    network = small(published, auxiliary=True)
    assert network(torch.randn(2, 3, 64, 64)).auxiliary.shape == (2, 10)
    with pytest.raises(InputError, match="8 or more pixels a side where it reads and gets 7x7"):
        network(torch.randn(2, 3, 28, 28))


def test_networks_refuse_other_spaces_and_odd_images(published):
    with pytest.raises(InputError, match="space darts, not of nasbench201"):
        CifarNetwork(NB201)
    with pytest.raises(InputError, match="space nasbench201, not of darts"):
        NasBench201Network(published.v2)
    with pytest.raises(InputError, match="layers=0"):
        small(published, layers=0)
    with pytest.raises(InputError, match="cannot be halved 2 times"):
        small(published)(torch.randn(2, 3, 18, 18))


def test_the_space_names_its_usual_network(published):
    assert isinstance(build(published.v2, channels=4, layers=2), CifarNetwork)
    assert isinstance(build(NB201, channels=4, cells=1), NasBench201Network)
    recurrent = Genotype("recurrent", {"recurrent": [[("tanh", 0)]]})
    assert isinstance(build(recurrent, units=4, vocabulary_size=9), RecurrentNetwork)


def test_unused_parameters_are_those_without_gradient(published):
    genotype = Genotype.from_text(
        "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|none~1|nor_conv_3x3~2|"
    )
    network = NasBench201Network(genotype, 4, 1)
    before = copy.deepcopy(network.state_dict())
    found = unused_parameters(network, ImageExamples(shape=(3, 8, 8)))
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    network(torch.randn(2, 3, 8, 8)).logits.sum().backward()
    assert found == [name for name, p in network.named_parameters() if p.grad is None]
    assert len(found) == 3 * 3
    assert all("1_0" in name for name in found)
    fresh = small(published, auxiliary=True)
    assert unused_parameters(fresh, ImageExamples()) == []
    assert fresh.training
