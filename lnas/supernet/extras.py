"""Extras: what the cells of a supernet have beside the operations that are searched.

Normalised nodes are those of DARTS-PRIME's clipped gates (Maile et al., arXiv:2106.11655, section
S1.1): gates that do not sum up to 1 would let the states grow with the number of open operations.
"""

from dataclasses import dataclass

from torch import nn

from lnas.errors import InputError
from lnas.operations import BatchNorm2d
from lnas.spaces import SearchSpace


@dataclass(frozen=True)
class Extras:
    """The options of a supernet that its cells are built by; see `Supernet`.

    Args:
        node_norm: Normalise the sum of each node.
        partial_channels: K; 1/K of the channels go through the operations.
        auxiliary_skip: Each edge has an auxiliary skip.
        skip_dropout: Skip connections of stride 1 can be dropped element by element.
    """

    node_norm: bool = False
    partial_channels: int = 1
    auxiliary_skip: bool = False
    skip_dropout: bool = False

    def check(self, channels: int) -> None:
        """Refuse numbers that do not go together.

        Args:
            channels: Channels of the first cell's nodes.

        Raises:
            InputError: They do not.
        """
        parts = self.partial_channels
        if parts < 1 or channels % parts:
            raise InputError(
                f"partial_channels={parts} does not divide channels={channels}; "
                "choose a divisor, 1 for all channels."
            )

    def node_norms(self, space: SearchSpace, channels: int) -> nn.ModuleDict | None:
        """Return a non-affine normalisation for each node of a cell, named by its state."""
        if not self.node_norm:
            return None
        nodes = range(space.inputs, space.inputs + space.nodes)
        return nn.ModuleDict({str(node): BatchNorm2d(channels, affine=False) for node in nodes})
