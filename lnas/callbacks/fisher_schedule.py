"""FisherSchedule: architecture steps when the weights have settled (FIMT of DARTS-PRIME).

Section 3.2, equations 6 and 7, and algorithm 1 of Maile et al., "DARTS-PRIME: Regularization and
Scheduling Improve Constrained Optimization in Differentiable NAS", arXiv:2106.11655. The trace of
the empirical Fisher information is the squared norm of the batch's weight gradient; an architecture
step is taken when its moving average, as of the batch before, lies below a threshold, which then
falls by a factor, and otherwise rises by another. A step that another callback withholds, e.g.
`Warmup`, leaves it where it is, else it would be far above any trace when steps are allowed again.

The paper expects one architecture step in `ratio` batches at a constant trace. The released code
lowers the threshold by increase^-ratio, but the batch with the step trains the weights too, so its
period is ratio + 1; `rule="paper"` lowers it by increase^-(ratio - 1) and keeps the promise.
"""

from typing import Any, Literal, final

import torch

from lnas.errors import InputError
from lnas.search import SearchCallback, SearchModule, SearchStep


@final
class FisherSchedule(SearchCallback):
    """Votes for an architecture step when the averaged Fisher trace is below a threshold.

    Args:
        ratio: Batches per architecture step to expect when the trace is constant, above 1.
        rule: "paper" gives exactly `ratio`; "code" the released ratio + 1.
        momentum: Weight zeta of the new trace in the moving average, in (0, 1].
        increase: Factor of the threshold on batches without a step, above 1.
        threshold: Threshold at the start.

    Raises:
        InputError: A value is out of its range.
    """

    def __init__(
        self,
        ratio: float = 10.0,
        rule: Literal["paper", "code"] = "paper",
        momentum: float = 0.2,
        increase: float = 1.05,
        threshold: float = 1.0,
    ) -> None:
        if ratio <= 1 or increase <= 1 or threshold <= 0 or not 0 < momentum <= 1:
            raise InputError(
                f"FisherSchedule(ratio={ratio}, increase={increase}, threshold={threshold}, "
                f"momentum={momentum}) needs ratio > 1, increase > 1, threshold > 0 and momentum "
                "in (0, 1]; the paper uses 10, 1.05, 1 and 0.2."
            )
        if rule not in ("paper", "code"):
            raise InputError(f"Unknown rule {rule!r}; choose 'paper' or 'code'.")
        self.momentum, self.increase, self.threshold = momentum, increase, threshold
        self.decrease = increase ** -(ratio if rule == "code" else ratio - 1)
        self.average: float | None = None
        self.trace: float | None = None
        self.votes = 0

    def should_step_architecture(self, module: SearchModule, step: SearchStep) -> bool:
        """Vote yes when 0 < moving average < threshold; no before the first batch."""
        return self.average is not None and 0 < self.average < self.threshold

    def on_weight_gradients(self, module: SearchModule, step: SearchStep) -> None:
        """Move the threshold by what was done, then take the new trace into the average."""
        voted = self.should_step_architecture(module, step)
        self.votes += voted
        if step.architecture_stepped:
            self.threshold *= self.decrease
        elif not voted:  # or another callback has withheld the step
            self.threshold *= self.increase
        # Before clipping: the trace needs the raw gradient of the loss (section 3.2).
        gradients = [p.grad for p in module.weight_parameters() if p.grad is not None]
        norms = torch._foreach_norm(gradients)
        self.update(float(torch.stack(norms).square().sum()))

    def update(self, trace: float) -> None:
        """Take one Fisher trace into the moving average (equation 7)."""
        self.trace = trace
        before = trace if self.average is None else self.average
        self.average = self.momentum * trace + (1 - self.momentum) * before

    def signals(self) -> dict[str, float]:
        """Return trace, moving average, threshold and votes so far, for the logs."""
        if self.trace is None or self.average is None:
            return {}
        return {
            "fisher_trace": self.trace,
            "fisher_average": self.average,
            "fisher_threshold": self.threshold,
            "fisher_votes": float(self.votes),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what the next decision depends on."""
        return {
            "threshold": self.threshold,
            "average": self.average,
            "trace": self.trace,
            "votes": self.votes,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the stored threshold and average."""
        self.threshold, self.average = state_dict["threshold"], state_dict["average"]
        self.trace, self.votes = state_dict["trace"], state_dict["votes"]
