"""Data in three streams: weights, architecture and held_out."""

from lnas.data.augmentation import Augmentation, Cutout, ShiftAndFlip
from lnas.data.base import StreamData
from lnas.data.cifar import CIFAR10, CIFAR100
from lnas.data.digits import Digits
from lnas.data.image_folder import ImageFolder
from lnas.data.splits import Streams, split
from lnas.data.streams import StreamLoader
from lnas.data.tensors import FakeImages, MapStyleData, TensorData
from lnas.data.text import TextData
from lnas.data.texts import FakeText, PennTreebank, TextFolder, Topics
from lnas.data.windows import TextLoader

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "Augmentation",
    "Cutout",
    "Digits",
    "FakeImages",
    "FakeText",
    "ImageFolder",
    "MapStyleData",
    "PennTreebank",
    "ShiftAndFlip",
    "StreamData",
    "StreamLoader",
    "Streams",
    "TensorData",
    "TextData",
    "TextFolder",
    "TextLoader",
    "Topics",
    "split",
]
