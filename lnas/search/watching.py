"""Gates that tell their gradient: what every operation of every cell costs, by the step's own pass.

The gates of a pass are shared by the cells of a type, and constants in the pass of the weights.
Watched ones have the same numbers but stand for each cell by itself, and let go of their gradient.
"""

import copy
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from lnas.relaxations import GateSample


def watched(sample: GateSample, cells: Mapping[str, int], found: dict[str, Tensor]) -> GateSample:
    """Return the same gates for each cell, with a place for their gradients.

    Args:
        sample: The gates of a pass.
        cells: Number of cells of each type.
        found: Gets d loss / d gates, (cells, edges, ops) per cell type, when backward passes them;
            0 until then.
    """
    result = copy.copy(sample)
    result.gates = dict(sample.gates)
    for name, shared in sample.gates.items():
        gates = shared if shared.requires_grad else shared.detach().requires_grad_()
        if not cells[name]:
            continue
        # Each cell has a view of its own: gradients add up cell by cell, as without it.
        views = [gates.view_as(gates) for _ in range(cells[name])]
        own = gates.clone() if gates.dim() == 3 else torch.stack(views)
        found[name] = torch.zeros_like(own)  # what no gradient reaches, e.g. if all edges are none
        keep = partial(found.__setitem__, name)
        own.register_hook(keep)  # type: ignore[no-untyped-call]  # torch's own
        result.gates[name] = own
    return result
