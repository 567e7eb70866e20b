"""The convolutions of one edge by torch's operators, on what the edges of its source share."""

import torch
from torch import Tensor
from torch.nn import functional

from lnas.operations.convolutional import DilatedConv, SeparableConv
from lnas.operations.depthwise import depthwise
from lnas.operations.reduction import FactorizedReduce
from lnas.supernet.sources import Source


def separable(source: Source, operation: SeparableConv, scale: Tensor) -> Tensor:
    """Return scale * operation(state), (N, C, H / stride, W / stride)."""
    if operation.stride == 1:
        y = depthwise(source.relu, operation.dw1.weight)
    else:
        y = operation.dw1(source.relu)
    y = operation.bn1(functional.conv2d(y, operation.pw1.weight))
    y = depthwise(functional.relu(y, inplace=True), operation.dw2.weight)
    result: Tensor = operation.bn2(functional.conv2d(y, operation.pw2.weight), scale)
    return result


def dilated(source: Source, operation: DilatedConv, scale: Tensor) -> Tensor:
    """Return the same; of stride 1 and where the source has phases, (4N, C, H / 2, W / 2)."""
    weight = operation.dw1.weight
    if operation.stride == 2:
        y = depthwise(source.even, weight)
    elif source.phased:
        y = depthwise(source.phases, weight)
    else:
        y = operation.dw1(source.relu)
    result: Tensor = operation.bn1(functional.conv2d(y, operation.pw1.weight), scale)
    return result


def reduced(source: Source, operation: FactorizedReduce, scale: Tensor) -> Tensor:
    """Return scale * operation(state), (N, C, H / 2, W / 2)."""
    halves = [operation.conv1(source.even), operation.conv2(source.odd)]
    result: Tensor = operation.bn1(torch.cat(halves, 1), scale)
    return result
