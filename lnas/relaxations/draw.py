"""Draw: names the random numbers of one forward pass.

Randomness is a pure function of (seed, rank, step, purpose): nothing has to be saved to resume.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from lnas.seeds import generator


@dataclass(frozen=True)
class Draw:
    """The place of one forward pass in a run.

    Args:
        seed: Seed of the run.
        rank: Index of the process under data parallelism.
        step: Which step of its purpose this is.
        purpose: What the pass is for, e.g. "weights" or "architecture".
        cells: Number of cells of each type in the supernet, for samples per cell.
    """

    seed: int = 0
    rank: int = 0
    step: int = 0
    purpose: str = "weights"
    cells: Mapping[str, int] = field(default_factory=dict)

    def generator(self, *what: int | str) -> torch.Generator:
        """Return a host generator for `what`, other on each rank: drop path, dropout."""
        return generator(self.seed, self.step, self.purpose, "rank", self.rank, *what)

    def shared(self, *what: int | str) -> torch.Generator:
        """Return a host generator for `what`, the same on all ranks: gates of an architecture."""
        return generator(self.seed, self.step, self.purpose, "shared", *what)
