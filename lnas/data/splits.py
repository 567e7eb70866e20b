"""Three disjoint index lists of one training set: weights, architecture, held_out.

DARTS (Liu et al., arXiv:1806.09055, section 3.1) halves the training set: one half for the weights,
one for the architecture. Here `held_out` is taken away first: no optimizer sees it, so what is
reported on it is a fair number. `held_out=0` is the paper's split, and then nothing is held out.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass

import torch

from lnas.errors import InputError
from lnas.seeds import generator


@dataclass(frozen=True)
class Streams:
    """Indices into the training set, each in at most one list.

    Args:
        weights: Images that train the weights.
        architecture: Images that train the architecture.
        held_out: Images that train nothing.
    """

    weights: list[int]
    architecture: list[int]
    held_out: list[int]

    @property
    def hash(self) -> str:
        """The sha256 (hexadecimal) of the three lists, for the run card."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()


def check_fractions(held_out: float, architecture_fraction: float) -> None:
    """Refuse shares that mean nothing.

    Raises:
        InputError: `held_out` is neither a count >= 0 nor a fraction in (0, 1), or
            `architecture_fraction` is not in [0, 1).
    """
    whole = isinstance(held_out, int) or held_out == 0
    if isinstance(held_out, bool) or held_out < 0 or not (whole or 0 < held_out < 1):
        raise InputError(
            f"held_out={held_out} is no share of the training images; give a fraction in (0, 1),"
            " a whole number of images, or 0 to hold out nothing."
        )
    if isinstance(architecture_fraction, bool) or not 0 <= architecture_fraction < 1:
        raise InputError(
            f"architecture_fraction={architecture_fraction} is outside (0, 1); the papers use 0.5,"
            " and 0 leaves all images to the weights (single-level search)."
        )


def split(
    images: int,
    held_out: float = 0.1,
    architecture_fraction: float = 0.5,
    split_seed: int | None = None,
) -> Streams:
    """Split `range(images)`: held_out first, then weights, then architecture.

    The weights get the whole part of their share, as in the released codes of DARTS and
    DARTS-PRIME.

    Args:
        images: Number of training images.
        held_out: Number of images (int) or fraction (float) that train nothing.
        architecture_fraction: Fraction of the others that trains the architecture.
        split_seed: Seed of a shuffle before the split, for data in the order of their classes;
            None keeps the order of the data set.

    Raises:
        InputError: A fraction means nothing, or leaves a stream that was asked for empty.
    """
    check_fractions(held_out, architecture_fraction)
    order = list(range(images))
    if split_seed is not None:
        order = torch.randperm(images, generator=generator(split_seed, "split")).tolist()
    kept = held_out if isinstance(held_out, int) else round(held_out * images)
    rest = images - kept
    # A share like 1 - 0.9 is a little below its number; 1e-9 of an image is no image.
    architecture = rest - math.floor((1 - architecture_fraction) * rest + 1e-9)
    streams = Streams(
        weights=order[kept : images - architecture] if rest > 0 else [],
        architecture=order[images - architecture :] if architecture > 0 else [],
        held_out=order[:kept],
    )
    empty = (
        not streams.weights
        or (architecture_fraction > 0 and not streams.architecture)
        or (held_out > 0 and not streams.held_out)
    )
    if empty:
        raise InputError(
            f"held_out={held_out} and architecture_fraction={architecture_fraction} split {images}"
            f" images into {len(streams.weights)} for the weights, {len(streams.architecture)} for"
            f" the architecture, {kept} held out; choose shares that leave no stream empty."
        )
    return streams
