import math

import pytest

from lnas.data import split
from lnas.errors import InputError


def test_nothing_held_out_is_the_split_of_the_paper():
    # DARTS: the first 25,000 images of CIFAR-10 train the weights, the last 25,000 alpha.
    streams = split(50_000, held_out=0)
    assert streams.weights == list(range(25_000))
    assert streams.architecture == list(range(25_000, 50_000))
    assert streams.held_out == []


def test_ten_weight_images_to_one_are_the_split_of_darts_prime():
    streams = split(50_000, held_out=0, architecture_fraction=1 / 11)
    assert (len(streams.weights), len(streams.architecture)) == (45_454, 4_546)
    assert streams.architecture[0] == 45_454
    written = split(50_000, held_out=0, architecture_fraction=0.0909090909)  # in the configs
    assert written == streams
    # Batches of 64 with the incomplete last one, which training leaves out here.
    assert [math.ceil(len(s) / 64) for s in (streams.weights, streams.architecture)] == [711, 72]


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.3, 0.6, 0.7, 0.9])
def test_shares_that_come_out_even_are_exact(fraction):
    for images in range(10, 2010, 10):
        streams = split(images, 0, fraction)
        assert len(streams.architecture) == round(fraction * images)


def test_a_tenth_of_cifar_is_its_first_five_thousand_images():
    for held_out in (0.1, 5000):
        streams = split(50_000, held_out=held_out)
        assert streams.held_out == list(range(5_000))
        assert streams.weights == list(range(5_000, 27_500))
        assert streams.architecture == list(range(27_500, 50_000))


@pytest.mark.parametrize("split_seed", [None, 3])
@pytest.mark.parametrize("fraction", [0, 0.3, 0.5])
def test_streams_are_disjoint_and_complete(split_seed, fraction):
    streams = split(101, 0.2, fraction, split_seed)
    everything = streams.weights + streams.architecture + streams.held_out
    assert sorted(everything) == list(range(101))
    sizes = [len(streams.weights), len(streams.architecture), len(streams.held_out)]
    assert sizes == {0: [81, 0, 20], 0.3: [56, 25, 20], 0.5: [40, 41, 20]}[fraction]


def test_split_seed_shuffles_always_in_the_same_way():
    assert split(100, split_seed=1) == split(100, split_seed=1)
    assert split(100, split_seed=1) != split(100, split_seed=2)
    assert split(100, split_seed=1).weights != split(100).weights


def test_hash_names_the_split():
    assert split(100).hash == split(100).hash
    hashes = {split(100, *options).hash for options in ((0.1, 0.5), (0.2, 0.5), (0.1, 0.4))}
    assert len(hashes | {split(101).hash, split(100, split_seed=0).hash}) == 5


@pytest.mark.parametrize("held_out", [-1, -0.1, 1.0, 1.5, True, 100, 101])
def test_held_out_that_is_no_share_is_refused(held_out):
    with pytest.raises(InputError, match="held_out=") as caught:
        split(100, held_out)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fraction", [-0.5, 1, 1.5, 0.999])
def test_architecture_fraction_that_leaves_a_stream_empty_is_refused(fraction):
    with pytest.raises(InputError, match="architecture_fraction="):
        split(100, 0.1, fraction)
