"""Launches: how many kernels a pass starts; speed that can be measured without a clock or a GPU.

Counted are torch's operators as they are dispatched; how many kernels an operator is made of, a
device decides. Views and mere allocations start nothing. The backward of a convolution counts
twice, or once if only images or only weights want a gradient. A call for a whole list of tensors
counts once, though a GPU takes some dozens of them at a time.
"""

from collections import Counter
from typing import Any, final

from torch.utils._python_dispatch import TorchDispatchMode

ALLOCATIONS = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")


@final
class Launches(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Counts operators within its block.

    Attributes:
        calls: How often each was called.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.calls = Counter[str]()

    @property
    def count(self) -> int:
        """All calls together."""
        return self.calls.total()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count an operator and run it."""
        name = func.overloadpacket.__name__
        if not func.is_view and name not in ALLOCATIONS:
            self.calls[name] += sum(args[-1][:2]) if name == "convolution_backward" else 1
        return func(*args, **(kwargs or {}))
