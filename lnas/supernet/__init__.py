"""Supernets: all candidate networks of a space in one, and the architecture that weighs them."""

from lnas.supernet.architecture import Architecture
from lnas.supernet.base import Supernet
from lnas.supernet.convolutional import ConvolutionalSupernet

__all__ = ["Architecture", "ConvolutionalSupernet", "Supernet"]
