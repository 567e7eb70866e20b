"""Random scores, under which a space's rule derives each of its cells equally often.

Under `StrongestInputs` each set of inputs of a node is equally likely, under either rule each
allowed operation of a chosen edge is, all independently; so every cell of the space is equally
likely wherever the edges of a node offer equally many operations.
"""

import torch
from torch import Tensor


def random_scores(
    mask: Tensor, generator: torch.Generator, certain: Tensor | None = None
) -> Tensor:
    """Return scores in [0, 1), on the host: by rank of the edge, then by a number per operation.

    The rank of an edge does not depend on how many operations it offers or the rule excludes.

    Args:
        mask: Allowed entries, bool (edges, ops); the others score -inf.
        generator: Where the numbers come from.
        certain: Edges that outrank all others, bool (edges,).
    """
    edges, operations = mask.shape
    rank = 1 + torch.randperm(edges, generator=generator).double()
    preference = torch.rand(edges, operations, generator=generator, dtype=torch.float64)
    if certain is not None:
        rank += edges * certain.cpu()
    scores = (rank[:, None] + preference) / (2 * edges + 1)
    return scores.masked_fill(~mask.cpu(), -torch.inf)
