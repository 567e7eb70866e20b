"""What a network has to know of the data, and made-up data that looks like it."""

import pytest
import torch

from lnas.errors import InputError
from lnas.networks import CifarNetwork, RecurrentNetwork, build_small
from lnas.spaces import zoo
from lnas.tasks import ImageExamples, TextExamples


def test_networks_are_built_to_the_description_and_take_its_examples():
    like = torch.empty(0, dtype=torch.float64)
    for examples in (ImageExamples(7, (1, 8, 12)), ImageExamples(3, (3, 16, 16))):
        network = build_small(zoo.load("darts_v2"), **examples.network_options()).double().eval()
        assert isinstance(network, CifarNetwork)
        images, labels = examples.batch(2, like)
        assert images.dtype == torch.float64
        assert network(images).logits.shape == (2, examples.classes)
        assert labels.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("examples", "network", "message"),
    [
        (TextExamples(), CifarNetwork, "Words are not .* takes no 'vocabulary_size'"),
        (ImageExamples(), RecurrentNetwork, "Images of shape .* takes no 'num_classes'"),
    ],
)
def test_data_of_another_kind_are_refused(examples, network, message):
    with pytest.raises(InputError, match=message):
        examples.build(network, zoo.load("darts_v2"))


def test_other_errors_of_a_network_are_its_own():
    with pytest.raises(TypeError, match="missing"):
        ImageExamples().build(CifarNetwork)


def test_examples_without_a_place_have_a_shape_alone():
    images = ImageExamples().inputs(5)
    assert images.is_meta
    assert images.shape == (5, 3, 32, 32)
