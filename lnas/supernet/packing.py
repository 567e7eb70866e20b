"""Many small tensors moved by few calls: the weights, gates and averages of a batched cell.

Each is joined with its like once per cell and cut into views, so that forward and backward cost a
call per kind and not one per edge; gradients of the single tensors are views of the joined one's.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lnas.operations import BatchNorm2d
from lnas.operations.normalization import move_averages


def joined(groups: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Return torch.cat of each group, by one call for all groups of one shape behind the first."""
    kinds: defaultdict[torch.Size, list[int]] = defaultdict(list)
    for number, group in enumerate(groups):
        kinds[group[0].shape[1:]].append(number)
    result: dict[int, Tensor] = {}
    for numbers in kinds.values():
        whole = torch.cat([tensor for number in numbers for tensor in groups[number]])
        sizes = [sum(map(len, groups[number])) for number in numbers]
        result |= zip(numbers, torch.split(whole, sizes), strict=True)
    return [result[number] for number in range(len(groups))]


def picked(table: Tensor, groups: Iterable[Sequence[int]]) -> tuple[Tensor, ...]:
    """Return entries of a flat table in groups; each entry is asked for at most once.

    No index goes to the device, for which the host would wait.
    """
    entries, groups = table.unbind(), list(groups)
    wanted = [place for group in groups for place in group]
    # What nobody wants comes last: each entry that were left out would cost a call backward.
    others = sorted(set(range(len(entries))).difference(wanted))
    ordered = torch.stack([entries[place] for place in (*wanted, *others)])
    return torch.split(ordered, [*map(len, groups), len(others)])[:-1]


class Moments:
    """Moments of the batch that many layers meet; they move the running averages together.

    Args:
        like: Of the kind that the averages have.
        channels: How many channels will be asked for at most.
    """

    def __init__(self, like: Tensor, channels: int) -> None:
        self.free = like.new_zeros(2, channels)
        self.layers: list[BatchNorm2d] = []
        self.means: list[Tensor] = []
        self.variances: list[Tensor] = []
        self.offsets: dict[int, Tensor] = {}

    def take(
        self, layers: Sequence[BatchNorm2d], channels: int, offsets: Sequence[Tensor] = ()
    ) -> tuple[Tensor, Tensor]:
        """Return room for a mean and an unbiased variance per channel.

        Args:
            layers: The layers whose moments they are: all of the same channels, or each of its own.
            channels: Number of channels.
            offsets: What the input of each layer has on top of what is measured.
        """
        room, self.free = self.free[:, :channels], self.free[:, channels:]
        own = channels // layers[0].num_features
        means, variances = (part.chunk(own) * (len(layers) // own) for part in room)
        self.offsets |= enumerate(offsets, len(self.layers))
        self.layers += layers
        self.means += means
        self.variances += variances
        mean, variance = room
        return mean, variance

    @torch.no_grad()
    def move(self) -> None:
        """Move the running averages."""
        if self.offsets:
            # Not in place: autograd keeps the moments.
            measured = [self.means[place] for place in self.offsets]
            shifted = torch._foreach_add(measured, list(self.offsets.values()))
            for place, mean in zip(self.offsets, shifted, strict=True):
                self.means[place] = mean
        move_averages(self.layers, self.means, self.variances)
