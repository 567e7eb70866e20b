import hashlib
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from lnas.data import CIFAR10, CIFAR100, cifar_files
from lnas.errors import InputError


def mosaic(images, columns):
    """Join (N, 32, 32, 3) to one picture with so many tiles in a row."""
    rows = [np.concatenate(images[i : i + columns], axis=1) for i in range(0, len(images), columns)]
    return Image.fromarray(np.concatenate(rows))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def root(tmp_path, pixels):
    """Two training mosaics of 20 tiles and one test mosaic of 20 tiles."""
    folder = tmp_path / "cifar10"
    folder.mkdir()
    for index, name in enumerate(("train_1", "train_2", "test")):
        tiles = mosaic(pixels[20 * index : 20 * index + 20], 5)
        tiles.save(folder / f"{name}.webp", lossless=True, quality=0)
    labels = (np.arange(60) * 7 % 10).astype(np.uint8)
    np.savez(folder / "labels.npz", train=labels[:40], test=labels[40:])
    return tmp_path


def test_mosaics_are_read_in_their_order(root, pixels):
    made = CIFAR10(root, batch_size=4)
    assert torch.equal(made.train_set.images, torch.from_numpy(pixels[:40]).permute(0, 3, 1, 2))
    assert torch.equal(made.test_set.images, torch.from_numpy(pixels[40:]).permute(0, 3, 1, 2))
    assert made.train_set.labels.tolist() == [i * 7 % 10 for i in range(40)]
    assert len(made.streams().held_out) == 4


def test_root_may_come_from_the_environment_and_may_be_the_folder_itself(root, monkeypatch):
    monkeypatch.setenv("LNAS_DATA", str(root))
    assert len(CIFAR10(batch_size=4).train_set) == len(
        CIFAR10(root / "cifar10", batch_size=4).train_set
    )
    monkeypatch.delenv("LNAS_DATA")
    with pytest.raises(InputError, match="LNAS_DATA"):
        CIFAR10()


def test_images_are_normalised_by_the_numbers_of_darts(root, pixels):
    made = CIFAR10(root, batch_size=4)
    images, _ = next(iter(made.held_out_loader()))
    mean = np.array([0.49139968, 0.48215827, 0.44653124])
    std = np.array([0.24703233, 0.24348505, 0.26158768])
    expected = ((pixels[:4] / 255 - mean) / std).transpose(0, 3, 1, 2)
    torch.testing.assert_close(images, torch.from_numpy(expected).float(), atol=1e-5, rtol=0)


def test_small_studies_take_fewer_and_smaller_images(root, pixels):
    made = CIFAR10(root, batch_size=4, image_size=16, train_images=22)
    assert made.image_shape == (3, 16, 16)
    assert made.train_set.images.shape == (22, 3, 16, 16)
    area = pixels[0].reshape(16, 2, 16, 2, 3).mean((1, 3)).transpose(2, 0, 1)
    difference = made.train_set.images[0].float() - torch.from_numpy(area).float()
    assert abs(difference.mean()) < 1
    assert next(iter(made.train_dataloader()))[0].shape == (4, 3, 16, 16)


def test_cifar100_is_dealt_so_that_the_first_images_have_all_classes(tmp_path):
    images = np.zeros((200, 32, 32, 3), dtype=np.uint8)
    labels = np.repeat(np.arange(100), 2).astype(np.uint8)
    images[:] = (labels + 100 * (np.arange(200) % 2))[:, None, None, None]
    for name in ("train_1", "test"):
        mosaic(images, 20).save(tmp_path / f"{name}.webp", lossless=True, quality=0)
    np.savez(tmp_path / "labels.npz", train=labels, test=labels)
    made = CIFAR100(tmp_path, batch_size=10)
    assert made.train_set.labels.tolist() == [*range(100), *range(100)]
    assert made.train_set.images[:, 0, 0, 0].tolist() == list(range(200))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 33}, "image_size=33"),
        ({"train_images": 41}, "train_images=41 .* 40 training"),
        ({"train_images": 0}, "train_images=0"),
        ({"batch_size": 64}, "batch_size=64 exceeds"),
    ],
)
def test_bad_sizes_are_refused(root, options, message):
    with pytest.raises(InputError, match=message):
        CIFAR10(root, **{"batch_size": 4, **options})


def test_missing_empty_and_damaged_folders_are_refused_in_one_line(root, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (empty, tmp_path / "missing"):
        with pytest.raises(InputError, match=r"CIFAR-10; give a root .*download=true") as caught:
            CIFAR10(folder)
        assert "\n" not in str(caught.value)
    (root / "cifar10" / "test.webp").unlink()
    with pytest.raises(InputError, match=r"test.webp"):
        CIFAR10(root, batch_size=4).test_dataloader()
    whole = (root / "cifar10" / "train_2.webp").read_bytes()
    (root / "cifar10" / "train_2.webp").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"Cannot read .*train_2.webp"):
        CIFAR10(root, batch_size=4).setup()
    (root / "cifar10" / "train_2.webp").write_bytes(whole)
    (root / "cifar10" / "labels.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=r"Cannot read train of .*labels.npz"):
        CIFAR10(root, train_images=20, batch_size=4).setup()


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_labels_that_carry_a_pickle_are_refused_unread(root, tmp_path):
    labels = np.array([Payload(str(tmp_path / "harm"))], dtype=object)
    np.savez(root / "cifar10" / "labels.npz", train=labels, test=labels)
    with pytest.raises(InputError, match=r"labels.npz"):
        CIFAR10(root, train_images=20, batch_size=4).setup()
    assert not (tmp_path / "harm").exists()


@pytest.fixture
def batches(tmp_path, pixels, monkeypatch):
    """A tiny folder in torchvision's format, whose md5 torchvision is told."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return name, hashlib.md5((folder / name).read_bytes()).hexdigest()

    flat = pixels.transpose(0, 3, 1, 2).reshape(60, -1)
    labels = [i % 10 for i in range(60)]
    train = write("data_batch_1", {"data": flat[:40], "labels": labels[:40]})
    test = write("test_batch", {"data": flat[40:], "labels": labels[40:]})
    meta = write("batches.meta", {"label_names": list("abcdefghij")})
    reader = cifar_files.READERS[10]
    monkeypatch.setattr(reader, "train_list", [list(train)])
    monkeypatch.setattr(reader, "test_list", [list(test)])
    monkeypatch.setattr(reader, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    return tmp_path


def test_torchvisions_folder_is_read(batches, pixels):
    made = CIFAR10(batches, batch_size=4)
    assert torch.equal(made.train_set.images, torch.from_numpy(pixels[:40]).permute(0, 3, 1, 2))
    assert made.test_set.labels.tolist() == [i % 10 for i in range(40, 60)]


def test_a_changed_pickle_of_torchvisions_folder_is_refused_unread(batches, tmp_path):
    path = batches / "cifar-10-batches-py" / "data_batch_1"
    path.write_bytes(pickle.dumps(Payload(str(tmp_path / "harm"))))
    with pytest.raises(InputError, match="incomplete or damaged") as caught:
        CIFAR10(batches, batch_size=4).setup()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harm").exists()


def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no\nnetwork")

    made = CIFAR10(tmp_path, download=True)
    monkeypatch.setitem(cifar_files.READERS, 10, refuse)
    with pytest.raises(InputError, match=r"download of CIFAR-10 to .* failed: no network"):
        made.prepare_data()


def test_the_real_cifar_has_its_published_mean_and_balance(data_root, tmp_path):
    for name in ("train_1.webp", "labels.npz"):
        shutil.copy(data_root / "cifar10" / name, tmp_path)
    made = CIFAR10(tmp_path, batch_size=64, held_out=0)
    assert len(made.train_set) == 10_000
    assert made.train_set.labels[:6].tolist() == [6, 9, 9, 4, 1, 1]  # the official order
    mean = made.train_set.images.float().mean((0, 2, 3)) / 255
    torch.testing.assert_close(mean, torch.tensor([0.4914, 0.4822, 0.4465]), atol=5e-3, rtol=0)
    images, _ = next(iter(made.train_dataloader()))
    assert images.shape == (64, 3, 32, 32)
    assert ((images[:, :, 0] == images[:, :, 0, :1]).all((1, 2))).any()  # a padded border
