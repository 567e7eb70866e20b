"""Relaxations turn the logits of an architecture into the gates of a forward pass."""

from lnas.relaxations.base import CellGates, GateSample, Relaxation, normal_logits
from lnas.relaxations.draw import Draw
from lnas.relaxations.softmax import Softmax, masked_softmax

__all__ = [
    "CellGates",
    "Draw",
    "GateSample",
    "Relaxation",
    "Softmax",
    "masked_softmax",
    "normal_logits",
]
