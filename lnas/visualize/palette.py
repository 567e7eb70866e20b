"""What an operation is called and which colour its family has, in every picture alike.

The colours are those of Okabe and Ito, "Color universal design" (2008): colour-blind readers tell
them apart. Within a family, pictures over time tell sizes apart by the line's dashes.
"""

import re
from typing import NamedTuple

INK = "#1f2933"
QUIET = "#8a94a0"
PAPER = "#ffffff"
TITLES = {"normal": "normal cell", "reduce": "reduction cell", "recurrent": "recurrent cell"}


class Family(NamedTuple):
    """A family of operations: its name in a legend and its colour."""

    name: str
    colour: str


SEPARABLE = Family("separable convolution", "#0072B2")
DILATED = Family("dilated convolution", "#009E73")
CONVOLUTION = Family("convolution", "#D55E00")
POOLING = Family("pooling", "#E69F00")
IDENTITY = Family("skip connection", "#CC79A7")
NOTHING = Family("none", QUIET)
OTHER = Family("other", "#5b6770")
ACTIVATIONS = {
    "tanh": Family("tanh", "#0072B2"),
    "relu": Family("ReLU", "#D55E00"),
    "sigmoid": Family("sigmoid", "#009E73"),
    "identity": Family("identity", "#CC79A7"),
}
_BY_START = {
    "sep_conv": SEPARABLE,
    "dil_conv": DILATED,
    "nor_conv": CONVOLUTION,
    "conv": CONVOLUTION,
    "avg_pool": POOLING,
    "max_pool": POOLING,
    "skip_connect": IDENTITY,
    "none": NOTHING,
}


def family(operation: str) -> Family:
    """Return the family that the operation named `operation` belongs to."""
    if operation in ACTIVATIONS:
        return ACTIVATIONS[operation]
    for start, found in _BY_START.items():
        if operation == start or operation.startswith(f"{start}_"):
            return found
    return OTHER


def label(operation: str) -> str:
    """Return the name that a person reads: `sep_conv_3x3` is "sep conv 3×3"."""
    if operation in ACTIVATIONS:
        return ACTIVATIONS[operation].name
    words = {"nor_conv": "conv", "skip_connect": "skip"}
    for start, word in words.items():
        operation = re.sub(rf"^{start}(?=_|$)", word, operation)
    return re.sub(r"(?<=\d)x(?=\d)", "×", operation).replace("_", " ")


def short_label(operation: str) -> str:
    """Return the name for a line of a terminal: `sep_conv_3x3` is "sep3"."""
    size = re.search(r"_(\d+)x\d+", operation)
    words = label(operation).split()
    first = words[0] if operation not in ACTIVATIONS else operation
    return f"{first}{size[1]}" if size else first


def tint(colour: str, strength: float = 0.14) -> tuple[float, float, float]:
    """Mix `colour` ("#rrggbb") into white; `strength` 1 is the colour itself, 0 is white."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (1 - strength * (1 - part) for part in parts)
    return red, green, blue
