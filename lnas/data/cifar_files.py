"""Reads CIFAR from disk: torchvision's folder, or lossless WebP mosaics with plain numpy labels.

A mosaic (`train_1.webp`, ..., `test.webp`) holds tiles of 32x32 pixels, row by row; `labels.npz`
holds their classes as `train` and `test`. torchvision's reader compares the md5 of each of its
files before it opens it; no other pickle is read.
"""

from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import datasets
from torchvision.transforms import v2

from lnas.data.tensors import Images
from lnas.errors import InputError

SIDE = 32
READERS = {10: datasets.CIFAR10, 100: datasets.CIFAR100}
Pixels = NDArray[np.uint8]


def locate(root: Path, classes: int, download: bool = False) -> Path:
    """Return the folder that has CIFAR-10 (CIFAR-100): `root`, or `cifar10` (`cifar100`) in it.

    Raises:
        InputError: The images are in neither, and are not to be downloaded.
    """
    batches = READERS[classes].base_folder
    for folder in (root / f"cifar{classes}", root):
        if _has_mosaics(folder) or (folder / batches).is_dir():
            return folder
    if download:
        return root
    state = "has no" if root.is_dir() else "does not exist, so it has no"
    raise InputError(
        f"The data folder {root} {state} CIFAR-{classes}; give a root with {batches}/ of"
        f" torchvision or cifar{classes}/labels.npz and train_1.webp, or set download=true."
    )


def fetch(folder: Path, classes: int) -> None:
    """Download what torchvision's folder lacks.

    Raises:
        InputError: The download failed.
    """
    if _has_mosaics(folder):
        return
    try:
        READERS[classes](str(folder), download=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"The download of CIFAR-{classes} to {folder} failed: {_line(error)}; try again, or"
            " copy the files there."
        ) from error


def training_images(folder: Path) -> int:
    """Return how many training images there are, without reading them."""
    if not _has_mosaics(folder):
        return 50_000
    sizes = []
    for path in _parts(folder, "train"):
        with _opened(path) as image:
            sizes.append((image.width // SIDE) * (image.height // SIDE))
    return sum(sizes)


@lru_cache(maxsize=4)
def read(
    folder: Path, classes: int, part: str, count: int | None = None, image_size: int = SIDE
) -> Images:
    """Return uint8 images (N, 3, image_size, image_size) and classes; kept for the process.

    Args:
        folder: What `locate` returned.
        classes: 10 or 100.
        part: "train" or "test".
        count: Only the first so many.
        image_size: Side in pixels, at most 32; smaller ones are averages over areas.

    Raises:
        InputError: A file is missing or damaged.
    """
    reader = _read_mosaics if _has_mosaics(folder) else _read_batches
    pixels, labels = reader(folder, classes, part, count)
    images = torch.from_numpy(pixels[:count].transpose(0, 3, 1, 2).copy())
    if image_size != SIDE:
        size = [image_size, image_size]
        images = v2.functional.resize(images, size, antialias=True)
    return Images(images, torch.from_numpy(labels[:count].astype(np.int64)))


def _has_mosaics(folder: Path) -> bool:
    return (folder / "labels.npz").is_file() and (folder / "train_1.webp").is_file()


def _parts(folder: Path, part: str) -> list[Path]:
    if part == "test":
        return [folder / "test.webp"]
    return [folder / f"train_{n + 1}.webp" for n in range(len(list(folder.glob("train_*.webp"))))]


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {_line(error)}; copy it again.") from error


def _read_mosaics(
    folder: Path, classes: int, part: str, count: int | None
) -> tuple[Pixels, NDArray[np.integer]]:
    tiles: list[Pixels] = []
    for path in _parts(folder, part):
        tiles.append(_tiles(path))
        # Images that come class by class are all needed, to be dealt below.
        if classes == 10 and count is not None and sum(map(len, tiles)) >= count:
            break
    images = np.concatenate(tiles)
    labels = _labels(folder / "labels.npz", part)[: len(images)]
    if len(labels) < len(images) or labels.max() >= classes:
        raise InputError(
            f"{folder / 'labels.npz'} lacks classes below {classes} for the {len(images)} images"
            f" of {part}; copy it again."
        )
    if classes == 100:
        # One class after the other: deal them, so that any first n images have all classes.
        turn = np.empty(len(labels), dtype=np.int64)
        for label in np.unique(labels):
            turn[labels == label] = np.arange((labels == label).sum())
        order = np.lexsort((labels, turn))
        images, labels = images[order], labels[order]
    return images, labels


def _tiles(path: Path) -> Pixels:
    with _opened(path) as image:
        try:
            pixels = np.asarray(image.convert("RGB"))
        except (OSError, ValueError) as error:
            raise InputError(f"Cannot read {path}: {_line(error)}; copy it again.") from error
    rows, columns = pixels.shape[0] // SIDE, pixels.shape[1] // SIDE
    tiled = pixels.reshape(rows, SIDE, columns, SIDE, 3).transpose(0, 2, 1, 3, 4)
    return tiled.reshape(-1, SIDE, SIDE, 3)


def _labels(path: Path, part: str) -> NDArray[np.integer]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return np.asarray(stored[part])
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"Cannot read {part} of {path}: {_line(error)}; copy it again.") from error


def _read_batches(
    folder: Path, classes: int, part: str, count: int | None
) -> tuple[Pixels, NDArray[np.integer]]:
    try:
        stored = READERS[classes](str(folder), train=part == "train")
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{folder / READERS[classes].base_folder} is incomplete or damaged: {_line(error)};"
            " copy it again, or delete it and set download=true."
        ) from error
    return stored.data, np.asarray(stored.targets)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
