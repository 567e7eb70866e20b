"""Costs of a network: parameters and multiply-adds.

Convention: one multiply-add is one multiplication and one addition in a convolution or a linear
layer; normalisation, activation, pooling and biases are not counted. The auxiliary head counts in
neither number, since it is gone after training; operations that do not reach the output of their
cell count in both, as in the published numbers, although they are not computed. Under this
convention the released DARTS cell has 528,359,040 multiply-adds on CIFAR and 529,911,552 on
ImageNet; other conventions are in print (e.g. 574 million for the latter).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lnas.networks.cells import all_computed


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Args:
        parameters: Number of trainable numbers, without an auxiliary head.
        multiply_adds: Multiply-adds for one image.
    """

    parameters: int
    multiply_adds: int


def network_cost(network: nn.Module, image_shape: tuple[int, int, int] = (3, 32, 32)) -> Cost:
    """Count a derived network.

    Args:
        network: Any network that takes images; it is not changed.
        image_shape: (channels, H, W) of an image.
    """
    parameters = sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if not name.startswith("auxiliary.")
    )
    images = torch.empty(1, *image_shape, device="meta")
    with all_computed(network):
        return Cost(parameters, multiply_adds(network, images))


def multiply_adds(module: nn.Module, *inputs: object) -> int:
    """Count the multiply-adds of one forward pass in evaluation mode; nothing is computed.

    Args:
        module: Any module whose work is done by convolution and linear submodules; it is not
            changed. A supernet has to be on its reference path.
        inputs: Its arguments, tensors on the device "meta".
    """
    total = 0

    def count(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            each = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
            total += output.numel() * each
        elif isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features

    state = {
        name: torch.empty_like(value, device="meta")
        for name, value in (*module.named_parameters(), *module.named_buffers())
    }
    layers = list(module.modules())
    training = [layer.training for layer in layers]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        module.eval()
        with torch.no_grad():
            functional_call(module, state, inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for layer, flag in zip(layers, training, strict=True):
            layer.training = flag
    return total
