"""Supernets: all candidate networks of a space in one, and the architecture that weighs them."""

from lnas.supernet.architecture import Architecture
from lnas.supernet.base import Supernet
from lnas.supernet.convolutional import ConvolutionalSupernet
from lnas.supernet.language import Dropouts
from lnas.supernet.nasbench201 import NasBench201Supernet
from lnas.supernet.recurrent import RecurrentSupernet

__all__ = [
    "Architecture",
    "ConvolutionalSupernet",
    "Dropouts",
    "NasBench201Supernet",
    "RecurrentSupernet",
    "Supernet",
]
