"""The searched part of a cell: operations on edges, and the two ways to compute its nodes."""

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from lnas.operations import build
from lnas.operations.dropout import SkipDropout
from lnas.relaxations import CellGates
from lnas.spaces import SearchSpace
from lnas.spaces.base import Edge
from lnas.supernet.auxiliary import AUXILIARY
from lnas.supernet.base import Path
from lnas.supernet.extras import Extras
from lnas.supernet.fused import fused_states
from lnas.supernet.reference import reference_states

SKIP = "skip_connect"


class SearchEdges(nn.ModuleDict):
    """Edge name -> operation name -> module, for what each edge offers; *none* has no module.

    Attributes:
        names: Names of the columns of the gates: the operations, then the auxiliary skip.

    Args:
        space: The search space.
        cell_type: Which candidates the edges offer.
        channels: Channels of every state.
        stride: Stride of an edge.
        search: Pools are normalised; see `operations.build`.
        extras: What the edges have beside the operations.
    """

    def __init__(
        self,
        space: SearchSpace,
        cell_type: str,
        channels: int,
        stride: Callable[[Edge], int],
        search: bool,
        extras: Extras,
    ) -> None:
        super().__init__()
        self.space, self.extras = space, extras
        self.names = (*space.operations, AUXILIARY) if extras.auxiliary_skip else space.operations
        channels //= extras.partial_channels
        self.strides = [stride(edge) for edge in space.edges]
        offered = space.candidates(cell_type).tolist()
        for edge, edge_stride, row in zip(space.edges, self.strides, offered, strict=True):
            self[edge.name] = nn.ModuleDict(
                {
                    name: build(name, channels, edge_stride, affine=False, search=search)
                    for name, is_offered in zip(space.operations, row, strict=True)
                    if is_offered and name != "none"
                }
            )
            if extras.skip_dropout and type(self[edge.name]._modules.get(SKIP)) is nn.Identity:
                self.operations(len(self) - 1)[SKIP] = SkipDropout()
            if extras.auxiliary_skip:
                skip = build(SKIP, channels, edge_stride, affine=False, search=search)
                self.operations(len(self) - 1)[AUXILIARY] = skip

    def operations(self, row: int) -> nn.ModuleDict:
        """Return the operations of the edge in `row`."""
        return cast(nn.ModuleDict, self[self.space.edges[row].name])

    def forward(
        self,
        inputs: list[Tensor],
        gates: CellGates,
        path: Path,
        norms: nn.ModuleDict | None = None,
    ) -> list[Tensor]:
        """Compute all states of the cell.

        Args:
            inputs: The cell's input states, each (N, C, H, W).
            gates: The gates of this cell.
            path: Which way.
            norms: Normalisations of the nodes, if they have any.

        Returns:
            Input states and node states, in the order of their numbers.
        """
        states = fused_states if path == "fused" else reference_states
        return states(self, inputs, gates, norms)
