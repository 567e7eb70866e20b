"""ResourceCost: what the architecture costs is part of its loss (SNAS).

Equations 9 to 11 of Xie et al., "SNAS", ICLR 2019, arXiv:1812.09926: the architecture's loss gets
weight * E[C(Z)], with the costs of `lnas.costs` (appendix F). The expectation is estimated by

- `reparameterized`: the cost of the gates of this pass, whose gradient goes through them (as
  released);
- `policy_gradient`: the same cost as a constant, and the gradient of log p(Z) times the cost of the
  edge minus a baseline (as in the paper); the baseline, a moving average per edge, starts at the
  cost of the first probabilities;
- `expected`: the cost of the probabilities, without noise. The linear form's expectation is exact;
  the logarithm is taken of the expected costs (as released), not inside the expectation.

`form="log"` is the released default: the mean of the logarithms of the three costs, edge by edge.
Deviations: penalties are means over the cells of a kind, whatever their number, where the released
code divides by 6 and 2; log p(Z) is exact, where the released one clamps Z at 1e-4. An edge's own
weight (PC-DARTS) does not make it cheaper.
"""

from typing import Any, Literal, final, get_args

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lnas.costs import MEASURES, CostTable, cost_table
from lnas.costs.table import Form
from lnas.errors import InputError
from lnas.search import SearchCallback, SearchModule, SearchStep

Estimator = Literal["reparameterized", "policy_gradient", "expected"]
NONE = "none"


@final
class ResourceCost(SearchCallback):
    """Adds the expected cost of the searched edges to the loss of the architecture.

    Logs `search/resource_cost` (the weighted term), and of the present probabilities
    `search/expected_parameters`, `search/expected_multiply_adds` and
    `search/expected_memory_access` (per image), and `search/none_edges`, the share of edges whose
    most probable operation is *none*.

    Args:
        weight: Factor eta of the term.
        form: "log" or "linear"; see `lnas.costs.CostTable.penalties`.
        estimator: "reparameterized", "policy_gradient" or "expected".
        momentum: Weight of the old value in the moving average of the baseline, in [0, 1).

    Raises:
        InputError: A value is unknown or out of its range.
    """

    def __init__(
        self,
        weight: float = 1.5e-3,
        form: Form = "log",
        estimator: Estimator = "reparameterized",
        momentum: float = 0.9,
    ) -> None:
        if form not in get_args(Form) or estimator not in get_args(Estimator):
            raise InputError(
                f"ResourceCost(form={form!r}, estimator={estimator!r}) is unknown; choose a form "
                f"of {get_args(Form)} and an estimator of {get_args(Estimator)}."
            )
        if not weight >= 0 or not 0 <= momentum < 1:
            raise InputError(
                f"ResourceCost(weight={weight}, momentum={momentum}) needs a weight from 0 on and "
                "a momentum in [0, 1)."
            )
        self.weight, self.momentum = weight, momentum
        self.form: Form = form
        self.estimator: Estimator = estimator
        self.table = CostTable({})
        self.baseline: dict[str, Tensor] = {}
        self._module: SearchModule | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Count the operations of this supernet on images of this data's size."""
        assert isinstance(pl_module, SearchModule)
        examples = getattr(getattr(trainer, "datamodule", None), "examples", None)
        if examples is None:
            raise InputError(
                "ResourceCost needs to know the image's size and there is no data module that "
                "says it; fit with one of lnas.data, or leave ResourceCost out."
            )
        self.table = cost_table(pl_module.supernet, examples)
        self._module = pl_module
        if self.estimator == "policy_gradient":
            pl_module.sample("check").log_prob()  # raises if there is none

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the costs to the device; start the baseline, unless a checkpoint brought it."""
        assert isinstance(pl_module, SearchModule)
        probabilities = pl_module.architecture.probabilities()
        like = next(iter(probabilities.values())).detach()
        self.table = self.table.to(like)
        if self.estimator == "policy_gradient" and not self.baseline:
            self.baseline = self._penalties(probabilities)
        self.baseline = {name: value.to(like) for name, value in self.baseline.items()}

    def architecture_loss(self, module: SearchModule, step: SearchStep) -> Tensor:
        """Return the weighted penalty, a scalar; all estimators have the cost itself as value."""
        assert step.sample is not None
        if self.estimator != "policy_gradient":
            gates = step.sample.gates
            if self.estimator == "expected":
                gates = module.architecture.probabilities()
            return self._weighted(self.table.penalties(gates, self.form))
        penalties, density = self._penalties(step.sample.gates), step.sample.log_prob()
        scores = [
            (density[name] * self._advantage(name, penalty, density[name])).sum()
            for name, penalty in penalties.items()
        ]
        score = torch.stack(scores).sum()
        return self._weighted(penalties) + self.weight * (score - score.detach())

    def on_architecture_step(self, module: SearchModule, step: SearchStep) -> None:
        """Move the baseline towards the cost of the sample that was used."""
        if self.estimator == "policy_gradient":
            assert step.sample is not None
            for name, penalty in self._penalties(step.sample.gates).items():
                self.baseline[name] = torch.lerp(penalty, self.baseline[name], self.momentum)

    @torch.no_grad()
    def signals(self) -> dict[str, float]:
        """Return what the present architecture is expected to cost, and its share of none."""
        if self._module is None:
            return {}
        probabilities = self._module.architecture.probabilities()
        total = self.table.total(probabilities).tolist()
        found = {f"expected_{name}": value for name, value in zip(MEASURES, total, strict=True)}
        operations = self._module.space.operations
        if NONE in operations:
            best = torch.stack([table.argmax(-1) for table in probabilities.values()])
            found["none_edges"] = (best == operations.index(NONE)).float().mean().item()
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the baseline, (cells, edges) per cell type; empty without policy gradient."""
        return {"baseline": dict(self.baseline)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the stored baseline."""
        self.baseline = dict(state_dict["baseline"])

    def _weighted(self, penalties: dict[str, Tensor]) -> Tensor:
        return self.weight * torch.stack([each.sum() for each in penalties.values()]).sum()

    @torch.no_grad()
    def _penalties(self, gates: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return penalties as constants, (cells, edges) per cell type."""
        return self.table.penalties(gates, self.form)

    def _advantage(self, name: str, penalty: Tensor, density: Tensor) -> Tensor:
        """Return what a sample costs above the baseline, shaped like its log-density.

        One sample for all cells of a type answers for the costs of all of them.
        """
        above = penalty - self.baseline[name]
        return above if density.dim() > 1 else above.sum(0)
