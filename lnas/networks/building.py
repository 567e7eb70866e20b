"""The usual network of a genotype's space."""

from typing import Any

from lnas.genotype import Genotype
from lnas.networks.base import Network
from lnas.networks.cifar import CifarNetwork
from lnas.networks.nasbench201 import NasBench201Network
from lnas.networks.recurrent import RecurrentNetwork

_NETWORKS: dict[str, type[Network]] = {
    "darts": CifarNetwork,
    "nasbench201": NasBench201Network,
    "recurrent": RecurrentNetwork,
}
_SMALL = {
    "darts": {"channels": 4, "layers": 3},
    "nasbench201": {"channels": 4, "cells": 1},
    "recurrent": {"units": 4},
}


def build(genotype: Genotype, **options: Any) -> Network:
    """Build the usual network of the genotype's space.

    Args:
        genotype: The cells.
        options: Arguments of the network's class, e.g. channels, num_classes.

    Raises:
        InputError: An argument is wrong.
    """
    return _NETWORKS[genotype.space](genotype, **options)


def build_small(genotype: Genotype, **options: Any) -> Network:
    """Build the usual network with as little in it as shows that the genotype can be built.

    Args:
        genotype: The cells.
        options: What the data asks for, see `Examples.network_options`.

    Raises:
        InputError: An argument is wrong.
    """
    return build(genotype, **_SMALL[genotype.space], **options)
