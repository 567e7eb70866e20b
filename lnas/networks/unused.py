"""Which parameters of a network its training loss does not depend on.

A genotype may name operations that do not reach the output. Data parallelism has to know: it waits
for the gradient of every parameter unless it is told to look for unused ones.
"""

import torch
from torch import nn
from torch.func import functional_call

from lnas.networks.base import Network
from lnas.operations import mode
from lnas.tasks import Examples


def unused_parameters(network: Network, examples: Examples) -> list[str]:
    """Return the names of parameters that get no gradient in training; computes nothing.

    Args:
        network: Any derived network; it is not changed.
        examples: What the data looks like.
    """
    state: dict[str, torch.Tensor] = {
        name: torch.empty_like(value, device="meta") for name, value in network.named_buffers()
    }
    parameters = {
        name: nn.Parameter(torch.empty_like(value, device="meta"))
        for name, value in network.named_parameters()
    }
    rate, network.drop_path = network.drop_path, 0.0
    draw = network.draw
    network.set_draw("unused parameters")
    try:
        with mode(network, training=True):
            output = functional_call(network, {**state, **parameters}, (examples.inputs(2),))
        loss = output.logits.sum()
        if output.auxiliary is not None:
            loss = loss + output.auxiliary.sum()
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    finally:
        network.drop_path, network.draw = rate, draw
    return [name for name, found in zip(parameters, gradients, strict=True) if found is None]
