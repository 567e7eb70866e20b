"""Derived networks: what a genotype becomes to be trained from scratch."""

from lnas.networks.base import Network
from lnas.networks.building import build, build_small
from lnas.networks.cifar import CifarNetwork
from lnas.networks.imagenet import ImageNetNetwork
from lnas.networks.nasbench201 import NasBench201Network
from lnas.networks.recurrent import RecurrentNetwork
from lnas.networks.unused import unused_parameters

__all__ = [
    "CifarNetwork",
    "ImageNetNetwork",
    "NasBench201Network",
    "Network",
    "RecurrentNetwork",
    "build",
    "build_small",
    "unused_parameters",
]
