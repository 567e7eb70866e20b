"""EigenvalueStop: stop when the curvature grows, and go back to before it did (DARTS-ES).

Section 4.3 of Zela et al., "Understanding and Robustifying Differentiable Architecture Search",
ICLR 2020, arXiv:1909.09656, in the released form: the eigenvalues are averaged over a window; the
search stops when the average has grown by more than a factor over some measurements, and the
architecture is that of the measurement in the middle of the older window. The paper's own form
compares averages by 0.75 at a distance of 5.
"""

from collections.abc import Sequence
from typing import Any, final

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lnas.callbacks.early_stop import EarlyStop
from lnas.callbacks.hessian_eigenvalue import HessianEigenvalue
from lnas.errors import InputError
from lnas.search import SearchModule
from lnas.search.trainer import callbacks_of


@final
class EigenvalueStop(EarlyStop):
    """Stops by the measurements of `HessianEigenvalue`, and restores the logits of a past one.

    Args:
        window: Measurements in an average, odd; the first averages are over fewer.
        factor: Growth of the average that ends the search.
        delta: Measurements between the two averages that are compared.
        earliest: The epoch that the search goes back to is not before this one.

    Raises:
        InputError: A number is out of its range, or nothing measures in front of this callback.
    """

    def __init__(
        self, window: int = 5, factor: float = 1.3, delta: int = 4, earliest: int = 10
    ) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0 or not factor > 0 or delta < 1 or earliest < 0:
            raise InputError(
                f"EigenvalueStop(window={window}, factor={factor}, delta={delta}, "
                f"earliest={earliest}) needs an odd window, factor > 0, delta >= 1 and earliest "
                ">= 0; RobustDARTS uses 5, 1.3, 4 and 10."
            )
        self.window, self.factor, self.delta = window, factor, delta
        self.earliest = earliest
        self.kept: dict[int, dict[str, Tensor]] = {}
        self._measured: HessianEigenvalue | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find who measures."""
        callbacks = callbacks_of(trainer)
        before = callbacks[: callbacks.index(self)]
        self._measured = next((p for p in before if isinstance(p, HessianEigenvalue)), None)
        if self._measured is None:
            raise InputError(
                "EigenvalueStop needs measurements; put HessianEigenvalue in front of it."
            )

    def reason_to_stop(self, module: SearchModule, epoch: int) -> str | None:
        """Keep the logits of this measurement; if it is time to stop, restore older ones."""
        assert self._measured is not None
        history = self._measured.history
        if not history or history[-1][0] != epoch:
            return None
        logits = module.architecture.logits
        self.kept[epoch] = {name: values.detach().clone() for name, values in logits.items()}
        for old in list(self.kept)[: -(self.window // 2 + self.delta + 1)]:
            del self.kept[old]
        found = stop_index([value for _, value in history], self.window, self.factor, self.delta)
        if found is None or history[found][0] < self.earliest:
            return None
        back = history[found][0]
        with torch.no_grad():
            for name, values in self.kept[back].items():
                logits[name].copy_(values)
        module.architecture.hold()
        return (
            f"the largest eigenvalue of the architecture's Hessian has grown by more than "
            f"{self.factor} since epoch {back}, whose architecture is restored"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the logits of the last measurements."""
        return super().state_dict() | {"kept": dict(self.kept)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        super().load_state_dict(state_dict)
        self.kept = dict(state_dict["kept"])


def stop_index(values: Sequence[float], window: int, factor: float, delta: int) -> int | None:
    """Return which measurement to go back to, None as long as the average has not grown enough.

    The average that belongs to measurement i is over those from i - window // 2, or from the first,
    to i + window // 2.

    Args:
        values: All measurements so far.
        window: Measurements in an average.
        factor: Growth of the average.
        delta: Measurements between the two averages.
    """
    half = window // 2
    newer = len(values) - 1 - half
    older = newer - delta
    if older < 0:
        return None

    def average(middle: int) -> float:
        inside = values[max(middle - half, 0) : middle + half + 1]
        return sum(inside) / len(inside)

    grown = average(older) > 0 and average(newer) / average(older) > factor
    return older if grown else None
