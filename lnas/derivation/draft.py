"""Draft: gates of a supernet of which some edges are decided, apart from its architecture.

What stays undecided keeps its gates as they are. Nothing is scaled up where an operation is
masked: the rest of an edge then sums up to less than before, as in algorithm 1 of DARTS-PT (Wang et
al., ICLR 2021, arXiv:2108.04392).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lnas.relaxations import GateSample
from lnas.supernet import Architecture


@dataclass(frozen=True)
class Draft:
    """A cell under decision; every method returns a new one.

    Args:
        gates: (edges, ops) per cell type.
        active: What may differ from 0, bool (edges, ops) in host memory; a supernet skips the rest.
        edges: Weights of whole edges, (edges,) per cell type; None: all 1.
    """

    gates: Mapping[str, Tensor]
    active: Mapping[str, Tensor]
    edges: Mapping[str, Tensor] | None = None

    @classmethod
    @torch.no_grad()
    def of(cls, architecture: Architecture) -> "Draft":
        """Return the noise-free gates of an architecture as they are."""
        sample = architecture.noise_free()
        masks = architecture.host_masks()
        return cls(dict(sample.gates), dict(masks), sample.edges)

    def sample(self) -> GateSample:
        """Return the gates for a supernet."""
        return GateSample(self.gates, self.active, self.edges)

    def select(self, cell_type: str, row: int, column: int) -> "Draft":
        """Return the draft with an edge that is one operation and nothing else."""
        return self._with_row(cell_type, row, column, keep=False)

    def mask(self, cell_type: str, row: int, column: int) -> "Draft":
        """Return the draft without one operation of an edge."""
        return self._with_row(cell_type, row, column, keep=True)

    def without(self, cell_type: str, row: int) -> "Draft":
        """Return the draft without an edge."""
        return self._with_row(cell_type, row, None, keep=False)

    def _with_row(self, cell_type: str, row: int, column: int | None, keep: bool) -> "Draft":
        gates, active = self.gates[cell_type].clone(), self.active[cell_type].clone()
        if not keep:
            gates[row], active[row] = 0.0, False
        if column is not None:
            gates[row, column], active[row, column] = float(not keep), not keep
        return Draft(
            {**self.gates, cell_type: gates}, {**self.active, cell_type: active}, self.edges
        )
