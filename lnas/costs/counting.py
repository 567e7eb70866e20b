"""Costs of a network: parameters and multiply-adds.

Convention: one multiply-add is one multiplication and one addition in a convolution or a matrix
product; normalisation, activation, pooling and biases are not counted. The auxiliary head counts in
neither number, since it is gone after training; operations that do not reach the output of their
cell count in both, as in the published numbers, although they are not computed. Under this
convention the released DARTS cell has 528,359,040 multiply-adds on CIFAR and 529,911,552 on
ImageNet; other conventions are in print (e.g. 574 million for the latter).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from lnas.networks import Network
from lnas.networks.cells import all_computed
from lnas.operations import mode
from lnas.tasks import Examples, Output

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


def network_cost(network: Network, examples: Examples | None = None) -> Cost:
    """Count a derived network.

    Args:
        network: Any derived network; it is not changed.
        examples: What the data looks like; None: what such networks are usually built for.
    """
    parameters = sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if not name.startswith("auxiliary.")
    )
    inputs = (examples or network.examples).inputs()
    with all_computed(network):
        return Cost(parameters, multiply_adds(network, inputs))


def multiply_adds(module: nn.Module, *inputs: object) -> int:
    """Count the multiply-adds of one forward pass in evaluation mode; nothing is computed.

    Counted are convolutions and matrix products, wherever in the module they are called.

    Args:
        module: Any module; it is not changed. A supernet has to be on its reference path.
        inputs: Its arguments, tensors on the device "meta".
    """
    with FlopCounterMode(display=False) as counter:
        output = run_on_meta(module, inputs)
        if isinstance(output, Output):
            _ = output.logits  # those of words are computed for who asks
    return int(counter.get_total_flops()) // 2


def run_on_meta(
    module: nn.Module, inputs: tuple[object, ...], hooks: Iterable[tuple[nn.Module, Hook]] = ()
) -> Any:
    """Run a module in evaluation mode for its shapes alone: nothing is computed or changed.

    Returns:
        What the module returns, on "meta".

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
            return functional_call(module, state, inputs)
    finally:
        for handle in handles:
            handle.remove()
