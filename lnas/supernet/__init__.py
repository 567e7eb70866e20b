"""Supernets: all candidate networks of a space in one, and the architecture that weighs them."""

from lnas.supernet.architecture import Architecture
from lnas.supernet.base import Supernet
from lnas.supernet.convolutional import ConvolutionalSupernet
from lnas.supernet.nasbench201 import NasBench201Supernet

__all__ = ["Architecture", "ConvolutionalSupernet", "NasBench201Supernet", "Supernet"]
