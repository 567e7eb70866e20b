"""Compiled kernels for CPUs: what the operations of searched edges share, done in one go.

They are compiled once, on first use, with the machine's own C++ compiler, and kept in the user's
cache. Without a compiler, or with the environment variable `LNAS_KERNELS=0`, the same numbers, up
to rounding, come from torch's operators.
"""

from lnas.kernels.blocks import Block
from lnas.kernels.build import available, disabled, readable
from lnas.kernels.convolutions import calls, mixed_convolutions, supports
from lnas.kernels.dense import Dense, Edge, Gated, dense_edges
from lnas.kernels.kept import KeptUnits, kept_product, kept_product_gradients
from lnas.kernels.recurrent import CURVES, LeavingEdges, RecurrentSteps, StateNorm
from lnas.kernels.room import Room
from lnas.kernels.words import kept_word_losses

__all__ = [
    "CURVES",
    "Block",
    "Dense",
    "Edge",
    "Gated",
    "KeptUnits",
    "LeavingEdges",
    "RecurrentSteps",
    "Room",
    "StateNorm",
    "available",
    "calls",
    "dense_edges",
    "disabled",
    "kept_product",
    "kept_product_gradients",
    "kept_word_losses",
    "mixed_convolutions",
    "readable",
    "supports",
]
