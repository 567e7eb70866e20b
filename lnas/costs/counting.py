"""Costs of a network: parameters and multiply-adds.

Convention: one multiply-add is one multiplication and one addition in a convolution or a linear
layer; normalisation, activation, pooling and biases are not counted. The auxiliary head counts in
neither number, since it is gone after training; operations that do not reach the output of their
cell count in both, as in the published numbers, although they are not computed. Under this
convention the released DARTS cell has 528,359,040 multiply-adds on CIFAR and 529,911,552 on
ImageNet; other conventions are in print (e.g. 574 million for the latter).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lnas.networks.cells import all_computed
from lnas.operations import mode
from lnas.tasks import Examples, ImageExamples

Hook = Callable[[nn.Module, Any, Any], None]


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Args:
        parameters: Number of trainable numbers, without an auxiliary head.
        multiply_adds: Multiply-adds for one example, e.g. one image.
    """

    parameters: int
    multiply_adds: int


def network_cost(network: nn.Module, examples: Examples | None = None) -> Cost:
    """Count a derived network.

    Args:
        network: Any derived network; it is not changed.
        examples: What the data looks like; None: CIFAR-10's images.
    """
    parameters = sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if not name.startswith("auxiliary.")
    )
    inputs = (examples or ImageExamples()).inputs()
    with all_computed(network):
        return Cost(parameters, multiply_adds(network, inputs))


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

    run_on_meta(module, inputs, [(layer, count) for layer in module.modules()])
    return total


def run_on_meta(
    module: nn.Module, inputs: tuple[object, ...], hooks: Iterable[tuple[nn.Module, Hook]]
) -> None:
    """Run a module in evaluation mode for its shapes alone: nothing is computed or changed.

    Args:
        module: The module.
        inputs: Its arguments, tensors on the device "meta".
        hooks: Submodules and what is called behind them: `hook(submodule, inputs, output)`.
    """
    state = {
        name: torch.empty_like(value, device="meta")
        for name, value in (*module.named_parameters(), *module.named_buffers())
    }
    handles = [layer.register_forward_hook(hook) for layer, hook in hooks]
    try:
        with mode(module, training=False), torch.no_grad():
            functional_call(module, state, inputs)
    finally:
        for handle in handles:
            handle.remove()
