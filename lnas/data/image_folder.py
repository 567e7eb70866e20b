"""Image folders such as ImageNet: train/CLASS/*.jpeg and val/CLASS/*.jpeg.

Augmentation of the DARTS ImageNet runs: random resized crop, flip, colour jitter; validation images
are resized to 256 pixels and cropped to the middle 224. Their `val/` is the test set here, because
it is what papers report; `held_out` is taken from `train/`.
"""

from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from torchvision import datasets
from torchvision.transforms import v2

from lnas.data.augmentation import MapStyle, View
from lnas.data.base import StreamData, normalize
from lnas.errors import InputError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class ImageFolder(StreamData):
    """Images in folders named by their class.

    Args:
        root: Folder with `train/` and, for evaluation, `val/`, each with a folder for every class.
        image_size: Side of an image as the network sees it, in pixels.
        batch_size: Images in a batch, over all ranks.
        workers: Processes that load images: decoding takes milliseconds an image.
        split_seed: Seed of the shuffle before the split; the files are in the order of classes.
        options: Those of `StreamData`.

    Raises:
        InputError: A folder is missing, has no classes, or a class has no images.
    """

    def __init__(
        self,
        root: str | Path,
        image_size: int = 224,
        batch_size: int = 128,
        workers: int = 4,
        split_seed: int | None = 0,
        **options: Any,
    ) -> None:
        if image_size < 4:
            raise InputError(f"image_size={image_size} is not allowed; choose 4 pixels or more.")
        self.root, self.image_size = Path(root), image_size
        self._train = _scan(self.root / "train")
        super().__init__(
            len(self._train.classes),
            (3, image_size, image_size),
            len(self._train),
            batch_size=batch_size,
            workers=workers,
            split_seed=split_seed,
            **options,
        )

    @property
    def test_remedy(self) -> str:
        """What to do where there are no test images."""
        return f"give it the folder {self.root / 'val'}"

    def load_train(self) -> MapStyle:
        """Return the images of `train/`."""
        train: MapStyle = self._train
        return train

    def load_test(self) -> MapStyle | None:
        """Return the images of `val/`.

        Raises:
            InputError: The folder is there, but has other classes or an empty one.
        """
        folder = self.root / "val"
        if not folder.is_dir():
            return None
        test = _scan(folder)
        images: MapStyle = test
        other = set(test.classes) ^ set(self._train.classes)
        if other:
            raise InputError(
                f"{folder} and {self.root / 'train'} differ in the class {min(other)!r}; give both"
                " the same class folders."
            )
        return images

    def random_view(self) -> View:
        """Crop a random area, flip, change brightness, contrast, saturation (0.4), hue (0.2)."""
        return _compose(
            v2.RandomResizedCrop(self.image_size),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2),
        )

    def plain_view(self) -> View:
        """Resize to 8/7 of the size (256 for 224) and crop the middle."""
        return _compose(
            v2.Resize(self.image_size * 8 // 7),
            v2.CenterCrop(self.image_size),
        )

    def prepare(self, images: Tensor) -> Tensor:
        """Normalise with ImageNet's mean and standard deviation."""
        return normalize(images, MEAN, STD)


def _compose(*transforms: Any) -> View:
    view: View = v2.Compose([*transforms, v2.PILToTensor()])
    return view


def _scan(folder: Path) -> datasets.ImageFolder:
    """List the images below `folder`.

    Raises:
        InputError: It does not exist, has no class folders, or one without images.
    """
    try:
        return datasets.ImageFolder(str(folder), loader=_read)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{folder} is no folder of images: {reason}; give a root with train/CLASS/IMAGE files."
        ) from error


def _read(path: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"Cannot read the image {path}: {reason}; replace or remove it."
        ) from error
