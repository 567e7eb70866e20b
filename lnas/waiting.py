"""Waiting for the device: the only ways in which a search step learns what a device has computed.

A GPU computes while the host launches what comes next; a host that reads a number waits until all
that is launched is done, and then the GPU waits for the host. So a step reads what it must know at
one place for all, or when another pass has been launched, and sends without waiting for arrival.
"""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor


def on_host(tables: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tables of one kind in host memory; the device is waited for once.

    Args:
        tables: Tensors by name; what lies in host memory is returned as it is.
    """
    if all(table.device.type == "cpu" for table in tables.values()):
        return dict(tables)
    flat = torch.cat([table.flatten() for table in tables.values()]).cpu()
    parts = torch.split(flat, [table.numel() for table in tables.values()])
    return {n: part.view(tables[n].shape) for n, part in zip(tables, parts, strict=True)}


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a small tensor of the host on a device, without waiting for what is launched there."""
    return tensor.to(device, non_blocking=True)


def selected(x: Tensor, dim: int, places: Sequence[int]) -> Tensor:
    """Return x at some places along an axis; a list as an index would wait for the device."""
    return x.index_select(dim, sent(torch.tensor(places, dtype=torch.long), x.device))


@final
class Verdict:
    """A truth value that follows its computation to the host.

    Args:
        value: Bool, a scalar; it may not be computed yet.
    """

    def __init__(self, value: Tensor) -> None:
        self._value, self._arrived = value, None
        if value.device.type == "cuda":
            self._value = torch.empty((), dtype=torch.bool, pin_memory=True)
            self._value.copy_(value, non_blocking=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's own
            self._arrived.record(torch.cuda.current_stream(value.device))

    def read(self) -> bool:
        """Return it; waits for what was launched before it, and for nothing behind."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return bool(self._value)
