"""Candidate operations, and the table that builds them by name."""

from lnas.operations.modes import full_precision, mode
from lnas.operations.normalization import BatchNorm2d, plain_averages, statistics
from lnas.operations.sizes import check_halvings
from lnas.operations.table import build, names, register

__all__ = [
    "BatchNorm2d",
    "build",
    "check_halvings",
    "full_precision",
    "mode",
    "names",
    "plain_averages",
    "register",
    "statistics",
]
