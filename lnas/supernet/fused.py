"""The fused path."""

from typing import TYPE_CHECKING

from torch import Tensor

from lnas.relaxations import CellGates
from lnas.supernet.reference import reference_states

if TYPE_CHECKING:
    from lnas.supernet.edges import SearchEdges


def fused_states(edges: "SearchEdges", inputs: list[Tensor], gates: CellGates) -> list[Tensor]:
    """Compute the states of a cell; see `SearchEdges.forward`."""
    return reference_states(edges, inputs, gates)
