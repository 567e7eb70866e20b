"""Published parameter counts and sizes of feature maps; nothing is computed (device meta)."""

import pytest
import torch

from lnas.costs import network_cost
from lnas.networks import CifarNetwork, ImageNetNetwork
from lnas.tasks import ImageExamples


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "channels", "expected"),
    [
        ("v1", 36, 3_169_414),
        ("v2", 36, 3_349_342),
        ("nasnet", 33, 3_245_989),
        ("amoebanet", 36, 3_145_078),
    ],
)
def test_published_cells_have_the_published_number_of_parameters(
    published, name, channels, expected
):
    with torch.device("meta"):
        network = CifarNetwork(getattr(published, name), channels, 20)
    assert parameters(network) == expected


def test_auxiliary_heads_and_stems_have_the_released_sizes(published):
    with torch.device("meta"):
        cifar = CifarNetwork(published.v2, 36, 20, auxiliary=True)
        imagenet = ImageNetNetwork(published.v2, 48, 14, 1000, auxiliary=True)
    assert parameters(cifar) == 3_825_768
    assert parameters(cifar.auxiliary) == 476_426
    assert parameters(imagenet) == 5_979_528
    assert parameters(imagenet.auxiliary) == 1_260_776
    assert parameters(imagenet.stem0) == 11_160
    assert parameters(imagenet.stem1) == 20_832


@pytest.mark.parametrize(
    ("network", "side", "expected"),
    [
        (CifarNetwork, 32, {0: (144, 32), 6: (288, 16), 13: (576, 8), 19: (576, 8)}),
        (ImageNetNetwork, 224, {0: (192, 28), 4: (384, 14), 9: (768, 7), 13: (768, 7)}),
    ],
    ids=["cifar", "imagenet"],
)
def test_cells_have_the_published_channels_and_sides(published, network, side, expected):
    with torch.device("meta"):
        built = network(published.v2)
    shapes = {}
    for index, cell in enumerate(built.cells):
        cell.register_forward_hook(
            lambda _, __, output, index=index: shapes.update({index: tuple(output.shape)})
        )
    network_cost(built, ImageExamples(shape=(3, side, side)))
    found = {index: (shapes[index][1], shapes[index][2]) for index in expected}
    assert found == expected
