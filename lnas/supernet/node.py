"""What the fused path sums up in one node, until all its sources have been read."""

from torch import Tensor

from lnas.operations.depthwise import unphases
from lnas.supernet.partial import join
from lnas.supernet.weighted_sum import weighted_sum


class Node:
    """The summands of a node.

    Attributes:
        plain: Images, (N, C, H, W).
        phased: Images in pixel phases, (4N, C, H / 2, W / 2).
        gates: Scalars, each of shape ().
        terms: As many images, weighed by them.
        around: Channels that go around the operations.
        around_gates: What they are weighed by, if edges have weights.
    """

    def __init__(self) -> None:
        self.plain: list[Tensor] = []
        self.phased: list[Tensor] = []
        self.gates: list[Tensor] = []
        self.terms: list[Tensor] = []
        self.around: list[Tensor] = []
        self.around_gates: list[Tensor] = []

    def taken(self, like: Tensor) -> Tensor | None:
        """Take back an image that was added last, if it is of the kind and size of `like`."""
        if self.plain and self.plain[-1].shape == like.shape and self.plain[-1].dtype == like.dtype:
            return self.plain.pop()
        return None

    def total(self, parts: int) -> Tensor | None:
        """Return the sum; None if nothing was added.

        Args:
            parts: Operations read the first 1/parts of a state's channels.
        """
        if self.phased:
            self.plain.append(unphases(weighted_sum(self.phased, [], [])))
        summed = None
        if self.plain or self.terms:
            summed = weighted_sum(self.plain, self.gates, self.terms)
        if self.around:
            plain, weighed = ([], self.around) if self.around_gates else (self.around, [])
            rest = weighted_sum(plain, self.around_gates, weighed)
            summed = join(summed, rest, parts)
        return summed
