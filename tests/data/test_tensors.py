import pytest
import torch

from lnas.data import FakeImages, TensorData
from lnas.errors import InputError


def test_fake_images_are_the_same_for_every_seed_and_balanced():
    first, second = FakeImages(), FakeImages(seed=5)
    assert torch.equal(first.train_set.images, second.train_set.images)
    assert not torch.equal(first.train_set.images[:64], first.test_set.images)
    assert first.train_set.labels.bincount().tolist() == [26] * 6 + [25] * 4


def test_fake_images_can_be_learnt():
    # The nearest mean of a class in the training images knows the class of a test image.
    made = FakeImages(images=200, test_images=50, shape=(1, 8, 8), num_classes=4)
    train, test = made.train_set, made.test_set
    means = torch.stack([train.images[train.labels == label].mean(0) for label in range(4)])
    distances = (test.images[:, None] - means).flatten(2).norm(dim=2)
    assert (distances.argmin(1) == test.labels).float().mean() > 0.95


def test_tensors_come_as_float32():
    made = TensorData(torch.ones(20, 3, 4, 4, dtype=torch.uint8), torch.arange(20), batch_size=4)
    images, labels = next(iter(made.train_dataloader()))
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert (made.num_classes, made.image_shape) == (20, (3, 4, 4))


@pytest.mark.parametrize(
    ("images", "labels"), [((4, 3, 2), 4), ((4, 3, 2, 2), 5), ((0, 3, 2, 2), 0)]
)
def test_tensors_that_do_not_belong_together_are_refused(images, labels):
    with pytest.raises(InputError, match="give images"):
        TensorData(torch.zeros(images), torch.zeros(labels, dtype=torch.int64), num_classes=2)


def test_fake_images_without_images_are_refused():
    with pytest.raises(InputError, match="at least 1"):
        FakeImages(images=0)
