import numpy as np
import pytest
import torch
from PIL import Image

from lnas.data import ImageFolder
from lnas.errors import InputError


@pytest.fixture
def root(tmp_path):
    """Two classes of five training pictures and one test picture of 20x16 pixels; b is bright."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 5), ("val", 1)):
        for label, low in (("a", 0), ("b", 200)):
            folder = tmp_path / part / label
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = draw.integers(low, low + 55, (16, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path


def data(root, **options):
    return ImageFolder(root, **{"image_size": 8, "batch_size": 2, "workers": 0, **options})


@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_all_sizes_come_as_one_batch_with_their_class(root, workers):
    made = data(root, workers=workers)
    assert (made.num_classes, made.image_shape) == (2, (3, 8, 8))
    for loader in (made.train_dataloader(), made.architecture_loader(), made.test_dataloader()):
        for images, labels in loader:
            assert images.shape == (2, 3, 8, 8)
            assert images.dtype == torch.float32
            assert torch.equal(images.mean((1, 2, 3)) > 0.3, labels == 1)


def test_the_order_of_classes_is_shuffled_before_the_split(root):
    streams = data(root, held_out=2).streams()
    assert streams.held_out != [0, 1]
    assert data(root, held_out=2, split_seed=None).streams().held_out == [0, 1]


def test_training_views_are_random_but_pure_and_test_views_are_the_middle(root):
    made = data(root)
    first, second = (next(iter(made.train_dataloader()))[0] for _ in range(2))
    assert torch.equal(first, second)
    loader = made.train_dataloader()
    views = [images for _ in range(3) for images, _ in loader]
    assert len({float(view.sum()) for view in views}) == len(views)
    # Resize(9) makes 9 rows of 11 columns; the middle of an image of one colour is that colour.
    Image.new("RGB", (20, 16), (255, 0, 51)).save(root / "val" / "a" / "0.png")
    image = next(iter(made.test_dataloader()))[0][0]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (torch.tensor([1.0, 0.0, 0.2]) - mean) / std
    torch.testing.assert_close(image.mean((1, 2)), expected, atol=1e-4, rtol=0)


def test_without_val_there_is_no_test_set(root):
    (root / "val").rename(root / "other")
    with pytest.raises(InputError, match=r"ImageFolder has no test set; give it the folder .*val"):
        data(root).test_dataloader()


def test_bad_folders_are_refused_in_one_line(root, tmp_path):
    (tmp_path / "empty" / "train").mkdir(parents=True)
    (root / "train" / "c").mkdir()
    for folder in (tmp_path / "missing", tmp_path / "empty", root):
        with pytest.raises(InputError, match="is no folder of images") as caught:
            data(folder)
        assert "\n" not in str(caught.value)
    (root / "train" / "c").rmdir()
    (root / "val" / "a").rename(root / "val" / "c")
    with pytest.raises(InputError, match="differ in the class 'a'"):
        data(root).test_dataloader()


def test_an_unreadable_image_is_refused_by_name(root):
    path = next((root / "val" / "b").iterdir())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"Cannot read the image .*0.png") as caught:
        next(iter(data(root).test_dataloader()))
    assert "\n" not in str(caught.value)
