"""Edge shuffling: what two edges of a cell compute, exchanged, while nothing is trained.

Table 1 of Wang et al., ICLR 2021, arXiv:2108.04392: a network without skip connections breaks down
under it, a residual network and the supernet of DARTS hardly do, for their layers refine one
estimate. Edges are exchanged with their gates, two in each cell, the same two in all cells of a
type, and only between edges that see images of one size.
"""

import re
from itertools import repeat
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lnas.relaxations import GateSample
from lnas.search.measuring import measure
from lnas.seeds import generator
from lnas.spaces import SearchSpace

if TYPE_CHECKING:
    from lnas.search.module import SearchModule

Pairs = dict[str, tuple[int, int]]
"""The rows that are exchanged, per cell type."""


def draw_pairs(space: SearchSpace, seed: int, index: int) -> Pairs:
    """Return two edges of each cell type that may be exchanged; none of a type without such.

    Args:
        space: The search space.
        seed: Seed of the run.
        index: Which draw.
    """
    pairs: Pairs = {}
    for kind in space.cell_types:
        offered = space.candidates(kind)
        possible = [
            (a, b)
            for b, later in enumerate(space.edges)
            for a, earlier in enumerate(space.edges[:b])
            if (earlier.source < space.inputs) == (later.source < space.inputs)
            and torch.equal(offered[a], offered[b])
        ]
        if possible:
            numbers = generator(seed, "edge shuffling", kind, index)
            pairs[kind] = possible[int(torch.randint(len(possible), (), generator=numbers))]
    return pairs


def measure_shuffled(
    module: "SearchModule", pairs: Pairs, batches: int | None = None
) -> dict[str, float]:
    """Return the measures of the supernet with exchanged edges on held-out batches.

    Args:
        module: The search; every rank must call. Nothing of it changes.
        pairs: The rows that are exchanged.
        batches: How many batches at most; None: all.
    """
    sample = module.architecture.noise_free()
    gates = {kind: _exchanged(table, pairs.get(kind)) for kind, table in sample.gates.items()}
    active = sample.active and {
        kind: _exchanged(table, pairs.get(kind)) for kind, table in sample.active.items()
    }
    edges = sample.edges and {
        kind: _exchanged(table, pairs.get(kind)) for kind, table in sample.edges.items()
    }
    shuffled = GateSample(gates, active, edges)
    return measure(module, repeat(shuffled), batches, weights=exchanged_weights(module, pairs))


def exchanged_weights(module: "SearchModule", pairs: Pairs) -> dict[str, Tensor]:
    """Return the supernet's weights and buffers, exchanged edges' under each other's names."""
    space, supernet = module.space, module.supernet
    found = dict(supernet.named_parameters()) | dict(supernet.named_buffers())
    kinds = iter(supernet.cell_types_of_cells)
    searched = sorted(
        {int(name.split(".")[1]) for name in found if re.match(r"cells\.\d+\.edges\.", name)}
    )
    swapped = dict(found)
    for cell, kind in zip(searched, kinds, strict=False):
        if kind not in pairs:
            continue
        a, b = (f"cells.{cell}.edges.{space.edges[row].name}." for row in pairs[kind])
        for name in found:
            for mine, other in ((a, b), (b, a)):
                if name.startswith(mine):
                    swapped[name] = found[other + name.removeprefix(mine)]
    return swapped


def _exchanged(table: Tensor, pair: tuple[int, int] | None) -> Tensor:
    """Return a table with two rows exchanged."""
    if pair is None:
        return table
    order = list(range(len(table)))
    order[pair[0]], order[pair[1]] = pair[1], pair[0]
    return table[order]
