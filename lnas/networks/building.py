"""The usual network of a genotype's space."""

from typing import Any

from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.networks.base import Network
from lnas.networks.cifar import CifarNetwork
from lnas.networks.nasbench201 import NasBench201Network

_NETWORKS: dict[str, type[Network]] = {"darts": CifarNetwork, "nasbench201": NasBench201Network}


def build(genotype: Genotype, **options: Any) -> Network:
    """Build the network for small images of the genotype's space.

    Args:
        genotype: The cells.
        options: Arguments of the network's class, e.g. channels, num_classes.

    Raises:
        InputError: There is no such network, or an argument is wrong.
    """
    if genotype.space not in _NETWORKS:
        raise InputError(
            f"There is no network for images of the space {genotype.space}; "
            f"use a genotype of {' or '.join(_NETWORKS)}."
        )
    return _NETWORKS[genotype.space](genotype, **options)
