"""Data in three streams: weights, architecture and held_out."""

from lnas.data.augmentation import Augmentation, Cutout
from lnas.data.base import StreamData
from lnas.data.digits import Digits
from lnas.data.splits import Streams, split
from lnas.data.streams import StreamLoader
from lnas.data.tensors import FakeImages, MapStyleData, TensorData

__all__ = [
    "Augmentation",
    "Cutout",
    "Digits",
    "FakeImages",
    "MapStyleData",
    "StreamData",
    "StreamLoader",
    "Streams",
    "TensorData",
    "split",
]
