"""Memory for what a training step needs again and again.

The system gives memory page by page and clears each one: a few hundred megabytes for each step cost
as much time as the activations of a recurrent cell. So what a pass has used serves the next one.
"""

from threading import Lock
from typing import final

import torch
from torch import Tensor

from lnas.kernels.build import readable

_free: list[Tensor] = []  # the blocks of the last pass that has ended
_lock = Lock()


@final
class Room:
    """The memory of one pass."""

    def __init__(self) -> None:
        self.blocks: list[Tensor] = []

    def empty(self, like: Tensor, *shape: int) -> Tensor:
        """Return a tensor of the device and kind of `like`, with any numbers in it."""
        size = torch.Size(shape).numel() * like.element_size()
        if not size or not readable(like):  # the memory of other devices is torch's to reuse
            return like.new_empty(shape)
        with _lock:
            fitting = [i for i, block in enumerate(_free) if size <= block.nbytes <= 2 * size]
            best = min(fitting, key=lambda i: _free[i].nbytes, default=None)
            block = None if best is None else _free.pop(best)
        if block is None:
            with torch.inference_mode(False):  # also what validation takes may serve training next
                block = torch.empty(size, dtype=torch.uint8)
        self.blocks.append(block)
        return block[:size].view(like.dtype).view(shape)

    def leave(self, tensor: Tensor) -> None:
        """Let a tensor of this room live on after the pass."""
        begin = tensor.data_ptr()
        self.blocks = [block for block in self.blocks if block.data_ptr() != begin]

    def close(self) -> None:
        """Give the memory to the next pass; no other tensor of this room may be read again."""
        with _lock:
            _free[:], self.blocks = self.blocks, []
