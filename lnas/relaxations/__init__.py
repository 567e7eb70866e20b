"""Relaxations turn the logits of an architecture into the gates of a forward pass."""

from lnas.relaxations.base import (
    CellGates,
    Deterministic,
    GateSample,
    Relaxation,
    normal_logits,
    straight_through,
)
from lnas.relaxations.clipped_relu import ClippedReLU
from lnas.relaxations.concrete import Concrete
from lnas.relaxations.draw import Draw
from lnas.relaxations.hard_concrete import HardConcrete
from lnas.relaxations.one_hot import OneHot
from lnas.relaxations.proximal import Proximal
from lnas.relaxations.random_cell import RandomCell
from lnas.relaxations.sigmoid import Sigmoid
from lnas.relaxations.softmax import Softmax, masked_softmax
from lnas.relaxations.uniform import Uniform

__all__ = [
    "CellGates",
    "ClippedReLU",
    "Concrete",
    "Deterministic",
    "Draw",
    "GateSample",
    "HardConcrete",
    "OneHot",
    "Proximal",
    "RandomCell",
    "Relaxation",
    "Sigmoid",
    "Softmax",
    "Uniform",
    "masked_softmax",
    "normal_logits",
    "straight_through",
]
