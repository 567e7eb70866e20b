"""Costs against published counts and closed forms."""

import itertools

import pytest
import torch
from torch import nn

from lnas.costs import Cost, multiply_adds, network_cost
from lnas.genotype import Genotype
from lnas.networks import CifarNetwork, ImageNetNetwork, NasBench201Network
from lnas.spaces import DartsSpace
from lnas.supernet import ConvolutionalSupernet
from lnas.tasks import ImageExamples

DARTS_V2 = Genotype(
    "darts",
    {
        "normal": [
            [("sep_conv_3x3", 0), ("sep_conv_3x3", 1)],
            [("sep_conv_3x3", 0), ("sep_conv_3x3", 1)],
            [("sep_conv_3x3", 1), ("skip_connect", 0)],
            [("skip_connect", 0), ("dil_conv_3x3", 2)],
        ],
        "reduce": [
            [("max_pool_3x3", 0), ("max_pool_3x3", 1)],
            [("skip_connect", 2), ("max_pool_3x3", 1)],
            [("max_pool_3x3", 0), ("skip_connect", 2)],
            [("skip_connect", 2), ("max_pool_3x3", 1)],
        ],
    },
)


def test_darts_has_its_multiply_adds_on_cifar_and_imagenet():
    with torch.device("meta"):
        cifar = CifarNetwork(DARTS_V2, auxiliary=True)
        imagenet = ImageNetNetwork(DARTS_V2, auxiliary=True)
    assert network_cost(cifar) == Cost(3_349_342, 528_359_040)
    assert network_cost(imagenet, ImageExamples(shape=(3, 224, 224))) == Cost(
        4_718_752, 529_911_552
    )


@pytest.mark.parametrize(
    ("text", "one", "three"),
    [
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 0, 0),
        ("|skip_connect~0|+|avg_pool_3x3~0|none~1|+|none~0|none~1|skip_connect~2|", 0, 0),
        (
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+"
            "|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
            *(0, 3),
        ),
        (
            "|nor_conv_1x1~0|+|nor_conv_1x1~0|nor_conv_1x1~1|+"
            "|nor_conv_1x1~0|nor_conv_1x1~1|nor_conv_1x1~2|",
            *(6, 0),
        ),
        (
            "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+"
            "|nor_conv_1x1~0|nor_conv_3x3~1|none~2|",
            *(2, 3),
        ),
    ],
)
def test_nasbench201_follows_its_linear_formula(text, one, three):
    genotype = Genotype.from_text(text)
    with torch.device("meta"):
        network = NasBench201Network(genotype)
    parameters = 73_306 + 28_000 * one + 243_040 * three
    computed = 7_783_040 + 3_932_160 * one + 35_389_440 * three
    # The last architecture computes two of its edges in vain; the published numbers count them.
    assert network_cost(network) == Cost(parameters, computed)


def test_nasbench201_with_more_classes_and_smaller_images():
    best = (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
        "|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    )
    with torch.device("meta"):
        ten, hundred, more = (
            NasBench201Network(Genotype.from_text(best), num_classes=count)
            for count in (10, 100, 120)
        )
    assert network_cost(hundred).parameters - network_cost(ten).parameters == 5_850
    assert network_cost(more).parameters - network_cost(hundred).parameters == 20 * 65
    small = ImageExamples(num_classes=120, shape=(3, 16, 16))  # those of ImageNet16-120
    assert network_cost(more, small).multiply_adds == 46_190_080


def test_supernet_multiply_adds_are_those_of_all_its_operations():
    space = DartsSpace()
    with torch.device("meta"):
        supernet = ConvolutionalSupernet(space)
        gates = {name: torch.ones(14, 8) for name in space.cell_types}
    supernet.path = "reference"
    images = torch.empty(1, 3, 32, 32, device="meta")
    assert multiply_adds(supernet, images, gates) == 300_255_744
    supernet.classifier = torch.nn.Identity()
    assert multiply_adds(supernet, images, gates) == 300_253_184


@pytest.mark.parametrize(
    ("channels", "groups", "kernel", "stride"),
    list(itertools.product([8], [1, 8], [(3, 3), (1, 7)], [1, 2])),
)
def test_a_convolution_costs_its_taps_per_output(channels, groups, kernel, stride):
    layer = nn.Conv2d(channels, 16, kernel, stride, (kernel[0] // 2, kernel[1] // 2), groups=groups)
    side = 12 // stride
    expected = side * side * 16 * (channels // groups) * kernel[0] * kernel[1]
    assert multiply_adds(layer, torch.empty(1, channels, 12, 12, device="meta")) == expected


def test_counting_changes_nothing():
    network = CifarNetwork(DARTS_V2, 4, 3)
    network.cells[0].eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    first = network_cost(network, ImageExamples(shape=(3, 8, 8)))
    assert network_cost(network, ImageExamples(shape=(3, 8, 8))) == first
    assert [module.training for module in network.modules()] == modes
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any(module._forward_hooks for module in network.modules())
