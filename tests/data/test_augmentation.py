import pytest
import torch
from torchvision.transforms import v2

from lnas.data import Augmentation, Cutout, ShiftAndFlip
from lnas.data.augmentation import Batches
from lnas.errors import InputError


@pytest.fixture
def dataset():
    images = torch.arange(6 * 3 * 5 * 4, dtype=torch.float32).reshape(6, 3, 5, 4)
    return [(image, index % 2) for index, image in enumerate(images)]


def test_shift_and_flip_has_exactly_the_views_of_torchvision():
    image = torch.arange(1.0, 13.0).reshape(1, 3, 4)
    ours, view = set(), ShiftAndFlip(1)
    crop, flip = v2.RandomCrop((3, 4), padding=1), v2.RandomHorizontalFlip()
    theirs = set()
    torch.manual_seed(0)
    for _ in range(500):
        ours.add(tuple(view(image).flatten().tolist()))
        theirs.add(tuple(flip(crop(image)).flatten().tolist()))
    assert ours == theirs
    assert len(ours) == 18  # 3 rows x 3 columns x 2 sides


def test_shift_and_flip_draws_each_view_equally_often():
    image, view = torch.arange(1.0, 10.0).reshape(1, 3, 3), ShiftAndFlip(1)
    torch.manual_seed(0)
    counts: dict[tuple, int] = {}
    for _ in range(3600):
        key = tuple(view(image).flatten().tolist())
        counts[key] = counts.get(key, 0) + 1
    expected = 3600 / 18
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert len(counts) == 18
    assert chi_square < 40.8  # 17 degrees of freedom: passed by 99.9 % of fair draws


def test_shift_without_flip_never_mirrors():
    image, view = torch.arange(1.0, 10.0).reshape(1, 3, 3), ShiftAndFlip(0, flip=False)
    assert all(torch.equal(view(image), image) for _ in range(20))


def test_cutout_zeroes_a_square_clipped_at_the_borders():
    image, cutout = torch.ones(3, 8, 8), Cutout(4)
    torch.manual_seed(0)
    holes = set()
    for _ in range(800):
        hole = cutout(image) == 0
        assert (hole == hole[:1]).all()  # all channels
        rows, columns = hole[0].nonzero().T
        area = (int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
        assert int(hole[0].sum()) == (area[2] - area[0]) * (area[3] - area[1])
        holes.add(area)
    assert (image == 1).all()
    # A centre at (r, c) cuts rows r-2 to r+1 and columns c-2 to c+1.
    sides = [(max(c - 2, 0), min(c + 2, 8)) for c in range(8)]
    assert holes == {(a, c, b, d) for a, b in sides for c, d in sides}


def test_each_image_has_its_own_view_in_each_epoch_whatever_its_batch(dataset):
    batches = Batches(dataset, Augmentation(ShiftAndFlip(2), after=Cutout(2)), 0, "weights")
    together, _ = batches[3, [0, 1, 2, 3]]
    alone = [batches[3, [index]][0][0] for index in range(4)]
    assert torch.equal(together, torch.stack(alone))
    assert not torch.equal(together, batches[4, [0, 1, 2, 3]][0])
    for other in (("weights", 1), ("architecture", 0)):
        purpose, seed = other
        twin = Batches(dataset, Augmentation(ShiftAndFlip(2)), seed, purpose)
        assert not torch.equal(together, twin[3, [0, 1, 2, 3]][0])


def test_global_generator_is_neither_used_nor_moved(dataset):
    batches = Batches(dataset, Augmentation(ShiftAndFlip(2)), 0, "weights")
    torch.manual_seed(1)
    state, first = torch.random.get_rng_state(), batches[0, [0, 1]][0]
    assert torch.equal(state, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, batches[0, [0, 1]][0])


def test_steps_come_in_order(dataset):
    steps = Augmentation(lambda image: image + 1, lambda images: images * 2, lambda image: -image)
    images, labels = Batches(dataset, steps, 0, "weights")[0, [4, 1]]
    expected = torch.stack([dataset[4][0], dataset[1][0]])
    torch.testing.assert_close(images, -2 * (expected + 1))
    assert labels.tolist() == [0, 1]
    assert labels.dtype == torch.int64


def test_sizes_that_mean_nothing_are_refused():
    with pytest.raises(InputError, match="cutout=0"):
        Cutout(0)
    with pytest.raises(InputError, match="padding=-1"):
        ShiftAndFlip(-1)
