"""StableRankingStop: stop when the architecture has not changed its mind (DARTS+, its second one).

Liang et al., "DARTS+: Improved Differentiable Architecture Search with Early Stopping", 2019,
arXiv:1909.06035: stop when the ranking of the architecture's parameters has been stable for ten
epochs. The ranking is taken for which operation is the strongest of each edge.
"""

from typing import Any, final

from lnas.callbacks.early_stop import EarlyStop
from lnas.derivation import magnitudes
from lnas.errors import InputError
from lnas.search import SearchModule


@final
class StableRankingStop(EarlyStop):
    """Stops when no edge has changed its strongest operation for some epochs.

    Args:
        epochs: Epochs without a change that end the search.

    Raises:
        InputError: `epochs` is below 1.
    """

    def __init__(self, epochs: int = 10) -> None:
        super().__init__()
        if epochs < 1:
            raise InputError(f"epochs={epochs} is no number of epochs; give 1 or more.")
        self.epochs, self.unchanged = epochs, 0
        self.strongest: dict[str, list[int]] = {}

    def reason_to_stop(self, module: SearchModule, epoch: int) -> str | None:
        """Compare with the epoch before."""
        tables = magnitudes(module.architecture).items()
        now = {name: strength.argmax(-1).tolist() for name, strength in tables}
        self.unchanged = self.unchanged + 1 if now == self.strongest else 0
        self.strongest = now
        if self.unchanged < self.epochs:
            return None
        return f"no edge has changed its strongest operation for {self.unchanged} epochs"

    def signals(self) -> dict[str, float]:
        """Return the epochs without a change so far, for the logs."""
        return {"unchanged_epochs": float(self.unchanged)}

    def state_dict(self) -> dict[str, Any]:
        """Return what the next epoch is compared with."""
        own = {"unchanged": self.unchanged, "strongest": dict(self.strongest)}
        return super().state_dict() | own

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        super().load_state_dict(state_dict)
        self.unchanged, self.strongest = state_dict["unchanged"], dict(state_dict["strongest"])
